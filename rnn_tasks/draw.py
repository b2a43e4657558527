"""Draw digits in the browser and see how networks read them: ``python -m rnn_tasks.draw``."""

import os
import signal
import threading
import webbrowser
from argparse import Namespace

from rnn_tasks import runs
from rnn_tasks.arguments import add_trust, command, parser, port
from rnn_tasks.errors import tell
from rnn_tasks.page import selection, server


def arguments() -> Namespace:
    """Build the parser of the command line."""
    command_line = parser(__doc__)
    help = "a run directory, latest, or mnist; by default the network that comes with the project"
    command_line.add_argument("run", metavar="RUN", nargs="?", help=help)
    command_line.add_argument("--port", type=port, help=f"default: {server.FIRST_PORT}, or the next free one")
    command_line.add_argument("--no-browser", action="store_true", help="do not open the page")
    add_trust(command_line)
    return command_line.parse_args()


@command
def main() -> None:
    """Serve the page until Ctrl-C."""
    chosen = arguments()
    listening = server.listen(chosen.port)
    import torch

    from rnn_tasks.page.app import app

    torch.set_num_threads(1)  # the fastest for such small networks
    given = chosen.run is not None
    reader = selection.load_reader(chosen.run, chosen.trust) if given else selection.default_network("reader")
    if given and reader:
        runs.tell_run(reader, "best")
    page = app(reader, selection.default_network("report"))
    address = server.address(listening)
    tell(f"{address} (Ctrl-C ends)")
    if not chosen.no_browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    try:
        server.server(page).run([listening])
    except KeyboardInterrupt:
        tell("stopped")
        os._exit(128 + signal.SIGINT)  # at once, also while a thread reads a large photo


if __name__ == "__main__":
    main()
