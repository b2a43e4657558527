"""Configurations of runs that older versions wrote, in today's form."""

from typing import Any

# Version 0.1: modules that have moved, keys of ``trainer`` that are gone, and ``logger`` as a single one.
MOVED = {
    "rnn_tasks.losses": "rnn_tasks.training.losses",
    "rnn_tasks.tensorboard": "rnn_tasks.training.tensorboard_logger",
}
GONE = ("strategy", "num_nodes")
# Keys that tasks have got since, each with the value that says what runs did before.
SINCE = {"rnn_tasks.tasks.mnist.Mnist": {"read": "rows"}}
LOGGERS = {"CSVLogger": "csv", "MLFlowLogger": "mlflow", "TensorBoard": "tensorboard", "WandbLogger": "wandb"}


def migrated(config: dict[str, Any]) -> dict[str, Any]:
    """Return a stored configuration in today's form; one of today's comes back equal.

    Args:
        config: plain containers, as config.yaml or result.json holds them.
    """
    config = {"callbacks": {}, "swept": None} | _with_moved_targets(config)
    config["trainer"] = {key: value for key, value in config["trainer"].items() if key not in GONE}
    config["task"] = SINCE.get(config["task"].get("_target_"), {}) | config["task"]
    logger = config.get("logger")
    if logger and "_target_" in logger:
        name = logger["_target_"].rpartition(".")[2]
        config["logger"] = {LOGGERS.get(name, name.lower()): logger}
    return config


def _with_moved_targets(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _moved(value) if key == "_target_" else _with_moved_targets(value) for key, value in node.items()}
    return node


def _moved(target: Any) -> Any:
    module, _, name = str(target).rpartition(".")
    return f"{MOVED[module]}.{name}" if module in MOVED else target
