"""Write a trained network out for use without this project: ``python -m rnn_tasks.export adder --to model.pt``."""

import json
from pathlib import Path

from rnn_tasks.arguments import command, parser, replicate
from rnn_tasks.errors import UserError
from rnn_tasks.runs.export import as_onnx, as_run, plain


@command
def main() -> None:
    """Write a state_dict of torch.nn modules, with what is needed to build them; an ONNX graph; or a run directory."""
    command_line = parser(__doc__)
    command_line.add_argument("run", metavar="RUN", help="a run directory, latest, or a task's name")
    command_line.add_argument(
        "--replicate", type=replicate, default="best", help="a number, or best by validation (usual)"
    )
    command_line.add_argument("--weights", choices=("best", "last"), default="best", help="best by validation (usual)")
    command_line.add_argument("--to", type=Path, required=True, metavar="FILE", help="like model.pt")
    kind = command_line.add_mutually_exclusive_group()
    kind.add_argument("--onnx", action="store_true", help="write an ONNX graph instead")
    kind.add_argument("--run", action="store_true", dest="as_run", help="write a run directory of this network alone")
    chosen = command_line.parse_args()
    from importlib.util import find_spec

    from rnn_tasks import runs

    if chosen.replicate == "all":
        raise UserError("--replicate all: a file holds one network; give its number, or best")
    if chosen.onnx and not find_spec("onnx"):
        raise UserError("--onnx: that package is not installed; pip install onnx")
    if chosen.as_run and chosen.to.exists():
        raise UserError(f"--to {chosen.to}: is there already; name a directory to be made, or delete it")
    if not chosen.to.parent.is_dir() or chosen.to.is_dir():
        raise UserError(f"--to {chosen.to}: must be a file in a directory that exists, like model.pt")
    run = runs.load(chosen.run, chosen.weights, chosen.replicate)
    runs.tell_replicate(run, chosen.replicate)
    from rnn_tasks.training.checkpoints import save

    if chosen.as_run and run.result is None:
        raise UserError(f"{run.path}: has not finished; go on with python -m rnn_tasks.train resume={run.path}")
    try:
        if chosen.as_run:
            return as_run(run, chosen.weights, chosen.to)
        modules = plain(run)
        as_onnx(modules, run, chosen.to) if chosen.onnx else save(modules.state_dict(), chosen.to)
    except OSError as error:
        raise UserError(f"--to {chosen.to}: cannot be written ({error.strerror})") from None
    said = {name: str(module) for name, module in modules.items()} | {"readout": run.task.readout}
    if run.task.readout == "last":
        said["pooling"] = run.model.pooling
    print(json.dumps(said, indent=1))


if __name__ == "__main__":
    main()
