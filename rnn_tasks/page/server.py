"""The page on a port of this computer."""

import logging
import socket
from typing import TYPE_CHECKING

from rnn_tasks.errors import UserError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

HOST, FIRST_PORT, PORTS = "127.0.0.1", 8000, 20


def listen(port: int | None = None) -> socket.socket:
    """Return a listening socket that only this computer can reach.

    Args:
        port: by default the first free one from 8000 to 8019.

    Raises:
        UserError: the port, or every one of these, is in use or not allowed.
    """
    for number in [port] if port else range(FIRST_PORT, FIRST_PORT + PORTS):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, number))
            listening.listen()
            return listening
        except OSError as error:
            listening.close()
            reason = error.strerror
    raise UserError(f"--port {number}: {reason}; take another one")


def address(listening: socket.socket) -> str:
    """Return the address of the page, such as http://127.0.0.1:8000."""
    return f"http://{HOST}:{listening.getsockname()[1]}"


def server(page: "ASGIApp") -> "uvicorn.Server":
    """Return a server of the page; ``run([socket])`` serves until it is stopped, as by Ctrl-C."""
    import uvicorn

    config = uvicorn.Config(
        page,
        log_level="warning",
        server_header=False,
        ws="none",
        lifespan="off",
        limit_concurrency=500,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
    )
    # what Ctrl-C cuts short is no error
    logging.getLogger("uvicorn.error").addFilter(lambda record: "graceful shutdown" not in record.getMessage())
    return uvicorn.Server(config)
