"""Which requests the page refuses, and the headers and the form of its answers."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost")
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


class Guard:
    """Refuses requests that other pages send, and adds security headers to every answer.

    A host name that is not this computer's own means that another site has let its name point here (DNS rebinding). A
    request that changes or computes something must have the page itself as its origin (cross-site request forgery).
    Starlette's TrustedHostMiddleware checks the host, too, but answers in plain text.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = _refusal(scope["method"], Headers(scope=scope)) or self.app
        await answer(scope, receive, send_with_headers)


def _refusal(method: str, headers: Headers) -> JSONResponse | None:
    """Return the answer to a request that is refused; None for one that is let through."""
    host, origin = headers.get("host", ""), headers.get("origin")
    if _host_name(host) not in HOSTS:
        return _error(421, "this page answers at http://127.0.0.1 only")
    if method not in ("GET", "HEAD") and origin != f"http://{host}":
        return _error(403, "this page answers requests of its own only")
    return None


def _host_name(host: str) -> str | None:
    """Return the name in a Host header, without its port; None if it is malformed."""
    try:
        return None if "@" in host else urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _error(status: int, reason: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": reason}, status, headers)


async def _http_error(request: Request, error: HTTPException) -> Response:
    return _error(error.status_code, error.detail, error.headers)


async def _client_gone(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=400)


async def _program_error(request: Request, error: Exception) -> Response:
    return _error(500, "something is wrong in the program; its terminal tells more")


ERROR_HANDLERS: dict[Any, Any] = {
    HTTPException: _http_error,
    ClientDisconnect: _client_gone,
    Exception: _program_error,
}
