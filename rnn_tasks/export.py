"""Write a trained network out for use without this project: ``python -m rnn_tasks.export adder --to model.pt``."""

import json
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rnn_tasks.errors import UserError, command, parser
from rnn_tasks.evaluate import replicate

NAMES = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


def plain(run: Any) -> Any:
    """A replicate as torch.nn modules with its weights: ``recurrent`` (RNN, LSTM or GRU) and ``head`` (Linear).

    A Crnn has ``convolutions`` as well, a list of Conv2d.

    Args:
        run: from runs.load, with one replicate.

    Raises:
        UserError: torch.nn has no such cell.
    """
    from torch import nn

    from rnn_tasks.models.crnn import KERNEL, PADDING, Crnn

    network, model = run.model, run.config.model
    name = getattr(getattr(network, "cell", None), "name", "")
    if name not in NAMES:
        raise UserError(f"{run.path}: torch.nn has no module like its model {model.get('cell', model._target_)}")
    words = {"num_layers": model.layers, "dropout": model.dropout if model.layers > 1 else 0.0}
    words |= {"bidirectional": model.bidirectional, "batch_first": True}
    state = {key: value[0] for key, value in network.state_dict().items()}
    modules = nn.ModuleDict(
        {
            "recurrent": getattr(nn, NAMES[name])(state["recurrent.weight_ih_l0"].shape[1], model.hidden, **words),
            "head": nn.Linear(*reversed(state["head.weight"].shape)),
        }
    )
    if isinstance(network, Crnn):
        weights = [weight for key, weight in state.items() if key.startswith("convolutions.weight_")]
        modules["convolutions"] = nn.ModuleList(
            nn.Conv2d(*reversed(weight.shape[:2]), KERNEL, padding=PADDING) for weight in weights
        )
        state = {re.sub(r"^convolutions\.(\w+)_(\d+)$", r"convolutions.\2.\1", key): state[key] for key in state}
    modules.load_state_dict(state)
    return modules.eval()


def whole(modules: Any, run: Any) -> Any:
    """The modules as one: inputs [B, T, D] -> logits [B, T, C], or [B, C] of one answer."""
    from torch import Tensor, cat, nn
    from torch.nn.functional import max_pool2d

    hidden, last, pooling = modules["recurrent"].hidden_size, run.task.readout == "last", run.model.pooling

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = modules

        def forward(self, inputs: Tensor) -> Tensor:
            if "convolutions" in self.parts:
                maps = inputs[:, None]
                for convolution in self.parts["convolutions"]:
                    maps = max_pool2d(convolution(maps).relu(), (1, 2))
                inputs = maps.transpose(1, 2).flatten(2)
            states, _ = self.parts["recurrent"](inputs)
            if last:
                ends = cat((states[:, -1, :hidden], states[:, 0, hidden:]), -1)
                states = states.mean(1) if pooling == "mean" else ends
            return self.parts["head"](states)

    return Whole().eval()


def as_onnx(modules: Any, run: Any, path: Path) -> None:
    """Write the modules as an ONNX graph."""
    import torch

    last = run.task.readout == "last"
    example = torch.zeros(2, run.task.longest, run.task.input_size)
    axes = {"inputs": {0: "batch", 1: "steps"}, "logits": {0: "batch"} if last else {0: "batch", 1: "steps"}}
    torch.onnx.export(
        whole(modules, run),
        (example,),
        path,
        input_names=["inputs"],
        output_names=["logits"],
        dynamic_axes=axes,
        dynamo=False,
    )


def as_run(run: Any, weights: str, directory: Path) -> None:
    """Write the network as a run directory of its own, which names the commands that made it.

    Args:
        run: from runs.load, with one replicate.
        weights: which of its weights these are, "best" or "last".
        directory: what is made, with config.yaml, result.json, checkpoints/best.ckpt and README.md.
    """
    from omegaconf import OmegaConf

    from rnn_tasks import runs
    from rnn_tasks.checkpoints import save
    from rnn_tasks.evaluate import measure
    from rnn_tasks.metrics import ranks

    run.task.setup()
    cfg = OmegaConf.merge(run.config, {"name": directory.name, "data_dir": "data"})
    if "data_dir" in cfg.task:
        cfg.task.data_dir = "data"
    train = {kind: [numbers[run.replicate]] for kind, numbers in run.result["metrics"]["train"].items()}
    metrics = {"train": train, "val": measure(run, [run.task.val]), "test": measure(run, run.task.test)}
    accuracy, of = metrics["test"]["sequence_accuracy"][0], metrics["test"]["n"]
    made = f" experiment={run.result['experiment']}" if run.result["experiment"] else ""
    how = f"--run --weights {weights} --replicate {run.replicate} --to {os.path.relpath(directory)}"
    said = (
        f"# {directory.name}\n\nReplicate {run.replicate} of {run.result['replicates']} of the run that"
        f" `python -m rnn_tasks.train{made}` made, written here by `python -m rnn_tasks.export RUN {how}`.\n"
        f"It gets {accuracy:.2%} of {of:,} test examples right (`python -m rnn_tasks.evaluate {directory.name}`).\n"
    )
    facts = {"config": OmegaConf.to_container(cfg), "metrics": metrics, "replicates": 1, "seed": cfg.seed}
    facts |= {"experiment": None, "fingerprint": runs.fingerprint(cfg)}  # it is one network, not the experiment
    kept = {"state_dict": run.model.state_dict(), "score": ranks(metrics["val"]), "failed": [False]}
    with TemporaryDirectory(dir=directory.parent) as temporary:
        begun = Path(temporary) / directory.name
        (begun / "checkpoints").mkdir(parents=True)
        save(kept, begun / "checkpoints" / "best.ckpt")
        (begun / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
        (begun / "README.md").write_text(said)
        runs.write_result(begun, run.result | facts)
        begun.rename(directory)


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
    from rnn_tasks.checkpoints import save

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
