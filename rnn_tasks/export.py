"""Write a trained network out for use without this project: ``python -m rnn_tasks.export adder --to model.pt``.

By default FILE gets a state_dict of torch.nn modules, and what is needed to build these is printed.
"""

import json
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

from rnn_tasks.arguments import add_trust, command, command_line, parser, replicate
from rnn_tasks.errors import UserError


def arguments() -> Namespace:
    """Build the parser of the command line.

    Raises:
        UserError: options contradict each other, or the file cannot be written there.
    """
    words = parser(__doc__)
    words.add_argument("run", metavar="RUN", help="a run directory, latest, or the name of a task")
    words.add_argument(
        "--replicate", type=replicate, default="best", help="its number from 0, or best by validation (default: best)"
    )
    words.add_argument(
        "--weights",
        choices=("best", "last"),
        default="best",
        help="of the best epoch in validation, or of the last (default: best)",
    )
    words.add_argument("--to", type=Path, required=True, metavar="FILE", help="like model.pt")
    kind = words.add_mutually_exclusive_group()
    kind.add_argument("--onnx", action="store_true", help="write an ONNX graph instead")
    kind.add_argument("--run", action="store_true", dest="as_run", help="write a run directory of this network alone")
    add_trust(words)
    chosen = words.parse_args()
    if chosen.replicate == "all":
        raise UserError("--replicate all: a file holds one network; give its number, or best")
    if chosen.onnx and not find_spec("onnx"):
        raise UserError("--onnx: the package onnx is not installed; pip install onnx")
    if chosen.as_run and chosen.to.exists():
        raise UserError(f"--to {chosen.to}: exists already; name a new directory, or delete it")
    if not chosen.to.parent.is_dir() or chosen.to.is_dir():
        raise UserError(f"--to {chosen.to}: must be a file in a directory that exists, like model.pt")
    return chosen


@command
def main() -> None:
    """Write the network, and print how to build it."""
    chosen = arguments()
    from rnn_tasks import runs

    run = runs.load(chosen.run, chosen.weights, chosen.replicate, chosen.trust)
    if chosen.as_run and run.result is None:
        raise UserError(f"{run.path}: has not finished; go on with {command_line('train', f'resume={run.path}')}")
    from rnn_tasks.runs import export
    from rnn_tasks.training.checkpoints import save

    try:
        if chosen.as_run:
            export.as_run(run, chosen.weights, chosen.to)
            return runs.tell_run(run, chosen.replicate)
        modules = run.to_torch()
        export.as_onnx(run, chosen.to) if chosen.onnx else save(modules.state_dict(), chosen.to)
    except OSError as error:
        raise UserError(f"--to {chosen.to}: cannot be written ({error.strerror})") from None
    runs.tell_run(run, chosen.replicate)
    description = {name: str(module) for name, module in modules.items()} | {"readout": str(run.task.readout)}
    if run.task.readout == "last":
        description["pooling"] = str(run.model.pooling)
    print(json.dumps(description, indent=1))


if __name__ == "__main__":
    main()
