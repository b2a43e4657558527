"""The server of the page: what may be asked, how much and by whom."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rnn_tasks.errors import one_line
from rnn_tasks.page.networks import HEIGHT, PEN, WIDTH, Networks, Points
from rnn_tasks.runs.loading import Run

FILES = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
LARGEST_DRAWING = 256_000  # bytes
LARGEST_PHOTO = 25_000_000
SLOWEST_BODY = 5  # seconds; it comes from this computer
MOST_POINTS = 20_000
MOST_WAITING = 4  # pieces of work
RATE, BURST = 50, 100  # pieces of work a second that are done in the long run, and at once
PHOTO_COST = 15  # pieces
EXPERIMENTS = {"reader": "mnist_handwriting", "report": "mnist_lstm_sgd"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def app(reader: Run | None, report: Run | None) -> ASGIApp:
    """The page and what it asks; of a network that is None it says how to train one."""
    networks, load = Networks(reader, report), Load()

    async def drawing(request: Request) -> Response:
        return await load.answer(request, LARGEST_DRAWING, lambda sent: networks.read_drawing(*strokes(sent)))

    async def photo(request: Request) -> Response:
        return await load.answer(request, LARGEST_PHOTO, networks.read_photo, PHOTO_COST)

    async def image(request: Request) -> Response:
        return await load.answer(request, 784, networks.read_image)

    async def untrained(request: Request) -> Response:
        raise HTTPException(503, f"no network is trained yet: {train('reader')}")

    told = {
        "canvas": {"width": WIDTH, "height": HEIGHT, "pen": PEN},
        "largest_photo": LARGEST_PHOTO,
        "networks": {name: described(name, run) for name, run in vars(networks).items()},
    }
    routes = [_file("page.html", "/"), *(_file(name, f"/{name}") for name in FILES if name != "page.html")]
    routes.append(Route("/networks", lambda request: JSONResponse(told)))
    for asked in (drawing, photo, image):
        routes.append(Route(f"/{asked.__name__}", asked if reader or report else untrained, methods=["POST"]))
    handlers = {HTTPException: _refused, ClientDisconnect: _gone, Exception: _broken}
    return Guard(Starlette(routes=routes, exception_handlers=handlers))


def _file(name: str, path: str) -> Route:
    content = Path(__file__).with_name(name).read_bytes()
    return Route(path, lambda request: Response(content, media_type=FILES[name]))


def train(name: str) -> str:
    """The command that trains a network: "reader" or "report"."""
    return f"python -m rnn_tasks.train experiment={EXPERIMENTS[name]}"


def described(name: str, run: Run | None) -> dict[str, str | None]:
    """What the page says of a network: its title, what it is, and if it is not there, the command that trains it."""
    title = {"reader": "Trained for handwriting", "report": "The report's best"}[name]
    if run is None:
        return {"title": title, "about": None, "train": train(name)}
    model = run.config.model
    about = [run.config.get("experiment") or run.path.name]
    if {"cell", "hidden", "layers", "bidirectional"} <= set(model):
        both = "bidirectional " if model.bidirectional else ""
        layers = f"{model.layers} layers of " if model.layers > 1 else ""
        about.append(f"{both}{model.cell.upper()}, {layers}{model.hidden} units")
    if run.result and run.replicate is not None and (test := run.result["metrics"].get("test")):
        about.append(f"right on {100 * test['accuracy'][run.replicate]:.2f}\N{NO-BREAK SPACE}% of MNIST's test images")
    return {"title": title, "about": "; ".join(about), "train": None}


async def body(request: Request, most: int) -> bytes:
    """The body of a request, of at most so many bytes.

    Raises:
        HTTPException: it is larger, or takes too long.
    """

    async def received() -> bytes:
        parts = bytearray()
        async for part in request.stream():
            parts += part
            if len(parts) > most:
                raise HTTPException(413, f"too large: more than {most:,} bytes; undo, clear or take a smaller picture")
        return bytes(parts)

    try:
        return await asyncio.wait_for(received(), SLOWEST_BODY)
    except asyncio.TimeoutError:
        raise HTTPException(408, f"not sent within {SLOWEST_BODY} seconds") from None


def strokes(sent: bytes) -> tuple[list[Points], int]:
    """Strokes, each [N, 2], and which digit is picked, of a drawing like {"strokes": [[x, y, x, y]], "pick": 0}.

    Raises:
        HTTPException: it is none.
    """
    try:
        read = json.loads(sent)
        pick = read.get("pick", 0)
        flat = [np.asarray(stroke, np.float32) for stroke in read["strokes"]]
        if type(pick) is not int or pick < 0 or sum(map(len, flat)) > 2 * MOST_POINTS:
            raise ValueError
        if any(stroke.ndim != 1 or not len(stroke) or not (np.abs(stroke) < 10 * WIDTH).all() for stroke in flat):
            raise ValueError
        return [stroke.reshape(-1, 2) for stroke in flat], pick
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        example = '{"strokes": [[x, y, x, y]], "pick": 0}'
        raise HTTPException(400, f"no drawing like {example} of at most {MOST_POINTS:,} points") from None


class Load:
    """Lets one piece of work run at a time, few wait, and so many be done a second."""

    def __init__(self) -> None:
        self.turn, self.pending = asyncio.Lock(), 0
        self.left, self.seen = float(BURST), time.monotonic()

    def charge(self, pieces: float = 1) -> None:
        """Count work before it is begun.

        Raises:
            HTTPException: it is too much for now.
        """
        now = time.monotonic()
        self.left, self.seen = min(BURST, self.left + RATE * (now - self.seen)), now
        if self.left < pieces:
            raise HTTPException(429, "too much at once; wait a second", {"Retry-After": "1"})
        self.left -= pieces

    async def answer(
        self, request: Request, most: int, work: Callable[[bytes], dict[str, Any]], pieces: float = 1
    ) -> Response:
        """What the work makes of a request's body, as JSON, with the ``milliseconds`` that it took.

        Args:
            request: what is asked.
            most: bytes of its body.
            work: raises a ValueError to tell the user why there is no answer.
            pieces: of work that it counts as.

        Raises:
            HTTPException: there is no answer, or it is too much for now.
        """
        self.charge(pieces)
        if self.pending >= MOST_WAITING:
            raise HTTPException(503, "busy; wait a second", {"Retry-After": "1"})
        self.pending += 1
        try:
            sent = await body(request, most)
            async with self.turn:
                begun = time.perf_counter()
                found = await run_in_threadpool(work, sent)
            return JSONResponse({**found, "milliseconds": round(1e3 * (time.perf_counter() - begun), 1)})
        except ValueError as error:
            raise HTTPException(422, one_line(error)) from None
        finally:
            self.pending -= 1


class Guard:
    """Refuses what does not come from the page itself, by the names it was called by, and adds the safe headers.

    Another name than this computer's own means that a site has let its name point here (DNS rebinding).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        host, origin = headers.get("host", ""), headers.get("origin")
        if _name(f"//{host}") not in ("127.0.0.1", "localhost"):
            answer = _error(421, "this page answers at http://127.0.0.1 only")
        elif scope["method"] not in ("GET", "HEAD") and origin != f"http://{host}":
            answer = _error(403, "this page answers itself only")
        else:
            return await self.app(scope, receive, sent)
        await answer(scope, receive, sent)


def _name(address: str) -> str | None:
    try:
        return None if "@" in address else urlsplit(address).hostname
    except ValueError:
        return None


def _error(status: int, reason: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": reason}, status, headers)


async def _refused(request: Request, error: HTTPException) -> Response:
    return _error(error.status_code, error.detail, error.headers)


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=400)


async def _broken(request: Request, error: Exception) -> Response:
    return _error(500, "something is wrong in the program; its terminal tells more")
