"""A trained network written for use without this project."""

from __future__ import annotations

import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from rnn_tasks.errors import UserError
from rnn_tasks.models.crnn import KERNEL, PADDING, Crnn
from rnn_tasks.runs.directory import write_config
from rnn_tasks.runs.evaluation import measured
from rnn_tasks.runs.identity import fingerprint
from rnn_tasks.runs.results import write_result
from rnn_tasks.training import KINDS
from rnn_tasks.training.checkpoints import save
from rnn_tasks.training.metrics import sort_keys

if TYPE_CHECKING:
    from rnn_tasks.runs.run import Run

NAMES = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


def torch_modules(run: Run) -> nn.ModuleDict:
    """Return the network as torch.nn modules with its weights: ``recurrent`` (RNN, LSTM or GRU) and ``head`` (Linear).

    A Crnn has ``convolutions`` as well, a list of Conv2d.

    Args:
        run: from runs.load, with one replicate.

    Raises:
        UserError: torch.nn has no such cell.
    """
    network, model = run.model, run.config.model
    name = getattr(getattr(network, "cell", None), "name", "")
    if name not in NAMES:
        raise UserError(f"{run.path}: torch.nn has no module like its model {model.get('cell', model._target_)}")
    arguments = {"num_layers": model.layers, "dropout": model.dropout if model.layers > 1 else 0.0}
    arguments |= {"bidirectional": model.bidirectional, "batch_first": True}
    state = {key: value[0] for key, value in network.state_dict().items()}
    features, outputs = state["recurrent.weight_ih_l0"].shape[1], state["head.weight"].shape
    modules = nn.ModuleDict(
        {
            "recurrent": getattr(nn, NAMES[name])(features, model.hidden, **arguments),
            "head": nn.Linear(outputs[1], outputs[0]),
        }
    )
    if isinstance(network, Crnn):
        weights = [weight for key, weight in state.items() if key.startswith("convolutions.weight_")]
        modules["convolutions"] = nn.ModuleList(
            nn.Conv2d(weight.shape[1], weight.shape[0], KERNEL, padding=PADDING) for weight in weights
        )
        state = {re.sub(r"^convolutions\.(\w+)_(\d+)$", r"convolutions.\2.\1", key): state[key] for key in state}
    modules.load_state_dict(state)
    return modules.eval()


class PlainNetwork(nn.Module):
    """The modules of ``torch_modules`` in one: inputs [B, T, D] -> logits [B, T, C], or [B, C] of a single answer.

    Sequences must have no padding.

    Args:
        modules: from ``torch_modules``.
        run: the run that they are from.
    """

    def __init__(self, modules: nn.ModuleDict, run: Run) -> None:
        super().__init__()
        self.parts, self.hidden = modules, int(run.config.model.hidden)
        self.pooling = run.model.pooling if run.task.readout == "last" else None
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        if "convolutions" in self.parts:
            maps = inputs[:, None]
            for convolution in self.parts["convolutions"].children():
                maps = max_pool2d(convolution(maps).relu(), (1, 2))
            inputs = maps.transpose(1, 2).flatten(2)
        states, _ = self.parts["recurrent"](inputs)
        if self.pooling == "mean":
            states = states.mean(1)
        elif self.pooling == "last":  # the final state of each direction
            states = torch.cat((states[:, -1, : self.hidden], states[:, 0, self.hidden :]), -1)
        return self.parts["head"](states)


def as_onnx(modules: nn.ModuleDict, run: Run, path: Path) -> None:
    """Write the modules as an ONNX graph, which takes any number of sequences of any length.

    Args:
        modules: from ``torch_modules``.
        run: the run that they are from.
        path: the file.
    """
    example = torch.zeros(2, run.task.longest, run.task.input_size)
    steps = {0: "batch", 1: "steps"}
    torch.onnx.export(
        PlainNetwork(modules, run),
        (example,),
        path,
        input_names=["inputs"],
        output_names=["logits"],
        dynamic_axes={"inputs": steps, "logits": {0: "batch"} if run.task.readout == "last" else steps},
        dynamo=False,
    )


def as_run(run: Run, weights: str, directory: Path) -> None:
    """Write the network as a run directory of its own, which names the commands that made it.

    Args:
        run: from runs.load, with one replicate, finished.
        weights: which of its weights these are, "best" or "last".
        directory: the new run: config.yaml, result.json, checkpoints/best.ckpt and README.md.
    """
    assert run.result is not None
    run.task.setup()
    cfg = run.config.copy()
    cfg.name, cfg.data_dir = directory.name, "data"
    if "data_dir" in cfg.task:
        cfg.task.data_dir = "data"
    of_all = run.result["metrics"]["train"]
    train = of_all | {kind: [of_all[kind][run.replicate]] for kind in KINDS}
    metrics = {"train": train, "val": measured(run, [run.task.val]), "test": measured(run, run.task.test)}
    facts = {"config": OmegaConf.to_container(cfg), "metrics": metrics, "replicates": 1, "seed": cfg.seed}
    facts |= {"experiment": None, "fingerprint": fingerprint(cfg)}  # it is one network, not the experiment
    checkpoint = {"state_dict": run.model.state_dict(), "score": sort_keys(metrics["val"]), "failed": [False]}
    with TemporaryDirectory(dir=directory.parent) as temporary:
        new = Path(temporary) / directory.name
        (new / "checkpoints").mkdir(parents=True)
        save(checkpoint, new / "checkpoints" / "best.ckpt")
        write_config(new, cfg)
        (new / "README.md").write_text(_readme(run, weights, directory, metrics["test"]), encoding="utf-8")
        write_result(new, run.result | facts)
        new.rename(directory)


def _readme(run: Run, weights: str, directory: Path, test: dict[str, Any]) -> str:
    assert run.result is not None
    experiment = f" experiment={run.result['experiment']}" if run.result["experiment"] else ""
    options = f"--run --weights {weights} --replicate {run.replicate} --to {os.path.relpath(directory)}"
    return (
        f"# {directory.name}\n\nReplicate {run.replicate} of {run.result['replicates']} of the run that"
        f" `python -m rnn_tasks.train{experiment}` made, written here by `python -m rnn_tasks.export RUN {options}`.\n"
        f"It gets {test['sequence_accuracy'][0]:.2%} of {test['n']:,} test examples right"
        f" (`python -m rnn_tasks.evaluate {directory.name}`).\n"
    )
