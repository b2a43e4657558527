"""Draw a digit and see how networks read it: ``python -m rnn_tasks.draw``."""

import socket
import sys
import threading
import webbrowser
from argparse import Namespace
from typing import Any

from rnn_tasks.arguments import command, parser, port
from rnn_tasks.errors import UserError

HOST, PORT, TRIED = "127.0.0.1", 8000, 20


def arguments() -> Namespace:
    """The command line."""
    command_line = parser(__doc__)
    help = "a run directory, latest, or mnist; without one, the network that comes with the project"
    command_line.add_argument("run", metavar="RUN", nargs="?", help=help)
    command_line.add_argument("--port", type=port, help=f"{PORT}, or the next that is free (usual)")
    command_line.add_argument("--no-browser", action="store_true", help="do not open the page")
    return command_line.parse_args()


def listening(port: int | None) -> socket.socket:
    """A socket of this computer alone.

    Args:
        port: without one, the first free one from 8000 on.

    Raises:
        UserError: it cannot be had.
    """
    for tried in [port] if port else range(PORT, PORT + TRIED):
        opened = socket.socket()
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((HOST, tried))
            opened.listen()
            return opened
        except OSError as error:
            opened.close()
            reason = error.strerror
    raise UserError(f"--port {tried}: {reason}; take another one")


def reading(run: str) -> Any:
    """A run that reads MNIST's digits.

    Raises:
        UserError: it does not, is not there or is damaged.
    """
    from rnn_tasks import runs
    from rnn_tasks.tasks.mnist import Mnist

    loaded = runs.load(run)
    if not isinstance(loaded.task, Mnist):
        raise UserError(f"{run}: reads no digits, its task is {loaded.task.name}; give a run of mnist")
    return loaded


def usual(name: str, experiment: str) -> Any:
    """The run that comes with the project, or else the newest finished one of its experiment; None without one."""
    from rnn_tasks import runs

    if (shipped := runs.PRETRAINED / name).is_dir():
        return reading(str(shipped))
    own = (path for path, result in runs.results() if result and result.get("experiment") == experiment)
    path = next(own, None)
    return path and reading(str(path))


@command
def main() -> None:
    """Serve the page until Ctrl-C."""
    chosen = arguments()
    opened = listening(chosen.port)
    import torch
    import uvicorn

    from rnn_tasks import runs
    from rnn_tasks.page.app import EXPERIMENTS, app

    torch.set_num_threads(1)  # such small networks are faster so
    reader = reading(chosen.run) if chosen.run else usual("handwriting", EXPERIMENTS["reader"])
    if chosen.run:
        runs.tell_replicate(reader, "best")
    page = app(reader, usual("report", EXPERIMENTS["report"]))
    address = f"http://{HOST}:{opened.getsockname()[1]}"
    print(f"{address} (Ctrl-C ends)", file=sys.stderr, flush=True)
    if not chosen.no_browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    limits = {"limit_concurrency": 500, "timeout_keep_alive": 30, "timeout_graceful_shutdown": 2}
    uvicorn.Server(
        uvicorn.Config(page, log_level="warning", server_header=False, ws="none", lifespan="off", **limits)
    ).run([opened])


if __name__ == "__main__":
    main()
