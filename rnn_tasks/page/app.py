"""The application behind the page: its files, and the answers to what it sends."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from rnn_tasks.errors import one_line
from rnn_tasks.page import drawing
from rnn_tasks.page.guard import ERROR_HANDLERS, Guard
from rnn_tasks.page.networks import Networks
from rnn_tasks.page.selection import describe, training_command
from rnn_tasks.runs import Run

FILES = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
MAX_DRAWING = 256_000  # bytes
MAX_PHOTO = 25_000_000  # bytes
MAX_IMAGE = 28 * 28  # bytes
BODY_TIMEOUT = 5  # seconds in which a request's body must arrive; it comes from this computer
MAX_PENDING = 4  # requests that are answered or wait for their turn


def app(reader: Run | None, report: Run | None) -> ASGIApp:
    """Return the page and its answers; instead of those of a missing network it shows the command to train it."""
    networks, queue = Networks(reader, report), Queue()

    def read_drawing(body: bytes) -> dict[str, Any]:
        return networks.read_drawing(*parse_drawing(body))

    def post(path: str, max_bytes: int, work: Callable[[bytes], dict[str, Any]]) -> Route:
        async def answer(request: Request) -> Response:
            if reader is None and report is None:
                raise HTTPException(503, f"no network is trained yet: {training_command('reader')}")
            return await queue.answer(request, max_bytes, work)

        return Route(path, answer, methods=["POST"])

    settings = {
        "canvas": {"width": drawing.WIDTH, "height": drawing.HEIGHT, "pen": drawing.PEN},
        "largest_photo": MAX_PHOTO,
        "networks": {name: describe(name, run) for name, run in vars(networks).items()},
    }
    routes = [
        *(_file_route(name) for name in FILES),
        Route("/networks", lambda request: JSONResponse(settings)),
        post("/drawing", MAX_DRAWING, read_drawing),
        post("/photo", MAX_PHOTO, networks.read_photo),
        post("/image", MAX_IMAGE, networks.read_image),
    ]
    return Guard(Starlette(routes=routes, exception_handlers=ERROR_HANDLERS))


def _file_route(name: str) -> Route:
    """Return the route of one of the page's files; that of page.html is /."""
    content = Path(__file__).with_name(name).read_bytes()
    path = "/" if name == "page.html" else f"/{name}"
    return Route(path, lambda request: Response(content, media_type=FILES[name]))


def parse_drawing(body: bytes) -> tuple[list[drawing.Points], int]:
    """As ``drawing.parse``.

    Raises:
        HTTPException: the body is not a drawing.
    """
    try:
        return drawing.parse(body)
    except ValueError as error:
        raise HTTPException(400, str(error)) from None


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return the body of a request.

    Raises:
        HTTPException: it is larger than ``max_bytes``, or does not arrive in time.
    """

    async def receive() -> bytes:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > max_bytes:
                limit = f"{max_bytes:,} bytes"
                raise HTTPException(413, f"too large: more than {limit}; undo, clear or take a smaller picture")
        return bytes(body)

    try:
        return await asyncio.wait_for(receive(), BODY_TIMEOUT)
    except asyncio.TimeoutError:
        raise HTTPException(408, f"not sent within {BODY_TIMEOUT} seconds") from None


class Queue:
    """Answers one request at a time, in the order in which they arrive; few may wait."""

    def __init__(self) -> None:
        self.lock, self.pending = asyncio.Lock(), 0

    async def answer(self, request: Request, max_bytes: int, work: Callable[[bytes], dict[str, Any]]) -> Response:
        """Return the result of work on a request's body, as JSON, with the ``milliseconds`` that the work took.

        Args:
            request: from the page.
            max_bytes: of its body.
            work: runs in another thread; a ValueError of its own tells the user why there is no answer.

        Raises:
            HTTPException: there is no answer, or too many requests wait.
        """
        if self.pending >= MAX_PENDING:
            raise HTTPException(503, "busy; wait a second", {"Retry-After": "1"})
        self.pending += 1
        try:
            body = await read_body(request, max_bytes)
            async with self.lock:
                start = time.perf_counter()
                result = await run_in_threadpool(work, body)
                milliseconds = round(1e3 * (time.perf_counter() - start), 1)
            return JSONResponse({**result, "milliseconds": milliseconds})
        except ValueError as error:
            raise HTTPException(422, one_line(error)) from None
        except asyncio.CancelledError:  # the server ends
            raise HTTPException(503, "the page has been ended") from None
        finally:
            self.pending -= 1
