"""The classes that a stored configuration may name: nothing else of it is imported or called.

A run directory may come from anyone. Hydra's ``instantiate`` calls whatever a ``_target_`` names, at any depth; its own
blocklist says of itself that it is no security boundary. So a list says what may be named, and where.
"""

import re
from collections.abc import Iterator
from typing import Any

CLASS = r"[A-Z]\w*"  # in torch's modules below, what begins with a capital is a class that only computes
TASKS = (
    "Adder",
    "Adding",
    "BoundedDyck",
    "Copy",
    "Counters",
    "CycleNavigation",
    "Dyck",
    "EmbeddedReber",
    "file.File",
    "FlipFlop",
    "Group",
    "HiddenCoin",
    "LongLag",
    "Memory",
    "ModularArithmetic",
    "Regular",
    "SequentialAddition",
    "TemporalOrder",
    "Tomita",
    "TwoSequence",
    "mnist.Mnist",
)
ALLOWED = {
    "task": rf"rnn_tasks\.tasks\.({'|'.join(map(re.escape, TASKS))})",
    "task.augmentation": r"rnn_tasks\.tasks\.augmentation\.Augmentation",
    "model": rf"rnn_tasks\.models\.(Network|Crnn|Transformer)|torch\.nn\.{CLASS}",
    "loss": r"rnn_tasks\.training\.losses\.(bce|ce|mse|squared)",
    "optimizer": rf"torch\.optim\.{CLASS}",
    "scheduler": rf"torch\.optim\.lr_scheduler\.{CLASS}",
    "logger.*": r"rnn_tasks\.training\.tensorboard_logger\.TensorBoard"
    r"|lightning\.pytorch\.loggers\.(CSVLogger|TensorBoardLogger)",
    "callbacks.*": r"rnn_tasks\.training\.callbacks\.(WeightNorms|Participation)",
}
PARTS = ("task", "model", "loss", "optimizer", "scheduler")  # are built, each from a _target_
CALLED = ("logger", "callbacks")  # hold parts under names
CELLS = ("rnn", "lstm", "gru", "mingru", "minlstm")
PARTIAL = ("optimizer", "scheduler", "loss")  # get further arguments later


def first_foreign(config: dict[str, Any]) -> str | None:
    """Return the first word of a configuration that would call other code than the allowed, as "key=value".

    Args:
        config: plain containers.

    Returns:
        None if there is none.
    """
    for path, key, value in _words(config):
        where = re.sub(r"^(logger|callbacks)\.[^.]+$", r"\1.*", path)
        allowed = ALLOWED.get(where)
        if key == "_partial_" and where in PARTIAL:
            continue
        if key != "_target_" or allowed is None or not re.fullmatch(allowed, str(value)):
            return f"{path}.{key}={value}" if path else f"{key}={value}"
    model = config.get("model")
    cell = model.get("cell", "rnn") if isinstance(model, dict) else "rnn"
    return None if cell in CELLS else f"model.cell={cell}"


def _words(node: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Return Hydra's own words below a node: the path of their mapping, the word and its value."""
    if isinstance(node, dict):
        for key, value in node.items():
            if re.fullmatch(r"_\w+_", str(key)):
                yield path, str(key), value
            yield from _words(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _words(value, f"{path}[{i}]")
