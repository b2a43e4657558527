"""A trained network written for use without this project."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import OmegaConf

from rnn_tasks.models.plain import PlainNetwork
from rnn_tasks.runs.directory import is_own, write_config
from rnn_tasks.runs.evaluation import measured
from rnn_tasks.runs.identity import fingerprint
from rnn_tasks.runs.results import write_result
from rnn_tasks.training import KINDS
from rnn_tasks.training.checkpoints import save
from rnn_tasks.training.metrics import sort_keys

if TYPE_CHECKING:
    from rnn_tasks.runs.run import Run


def as_onnx(run: Run, path: Path) -> None:
    """Write the network as an ONNX graph in single precision, which takes any number of sequences of any length.

    Args:
        run: from runs.load, with one replicate.
        path: the file.

    Raises:
        ValueError: torch.nn has no modules like the network's.
    """
    example = torch.zeros(2, run.task.longest, run.task.input_size)
    steps = {0: "batch", 1: "steps"}
    torch.onnx.export(
        PlainNetwork(run.model).float(),
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
    if cfg.task.get("digest"):
        cfg.task.path = Path(str(cfg.task.path)).name
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
        write_config(new, cfg, is_own(run.path))
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
