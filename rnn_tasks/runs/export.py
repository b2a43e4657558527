"""A trained network for use without this project."""

import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rnn_tasks.errors import UserError

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
    from rnn_tasks.runs.evaluation import measure
    from rnn_tasks.training.checkpoints import save
    from rnn_tasks.training.metrics import sort_keys

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
    kept = {"state_dict": run.model.state_dict(), "score": sort_keys(metrics["val"]), "failed": [False]}
    with TemporaryDirectory(dir=directory.parent) as temporary:
        begun = Path(temporary) / directory.name
        (begun / "checkpoints").mkdir(parents=True)
        save(kept, begun / "checkpoints" / "best.ckpt")
        (begun / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
        (begun / "README.md").write_text(said)
        runs.write_result(begun, run.result | facts)
        begun.rename(directory)
