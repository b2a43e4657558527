"""The experiments of the report, and their configurations."""

from itertools import product
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rnn_tasks import config, runs

# Those that take longest first, so that several cores end at about the same time.
EXPERIMENTS = (
    *("mnist_birnn_adam", "mnist_rnn_sgd", "mnist_rnn_adam", "mnist_lstm_sgd", "mnist_lstm_sgd_slow"),
    *("memory_two_units", "adder_hidden", "adder_length5", "memory_hidden2", "memory_hidden5", "memory_hidden10"),
    "adder_loss",
)


FURTHER = (
    "mnist_handwriting",
    "mnist_ablation",
    "mnist_ablation_plain",
    "mnist_rnn_sgd_grid",
    "mnist_rnn_adam_grid",
    "memory_hidden_sizes",
    "adder_batch_size",
    "adder_loss_batch_size",
)


QUICK = {  # so little that all is over in some minutes; the first name that an experiment's begins with
    "mnist_birnn": ["trainer.max_epochs=1"],
    "mnist": ["trainer.max_epochs=2"],
    "memory_two": ["model.replicates=32", "trainer.max_epochs=2"],
    "memory": ["model.replicates=16", "trainer.max_epochs=20"],
    "adder": ["model.replicates=16"],
}


OUTPUTS, QUICK_OUTPUTS = runs.OUTPUTS, runs.OUTPUTS / "quick"


def swept(experiment: str) -> dict[str, list[Any]]:
    """The values of an experiment's sweep, by their keys; none if it is no sweep."""
    file = OmegaConf.load(config.CONF / "experiment" / f"{experiment}.yaml")
    params = OmegaConf.select(file, "hydra.sweeper.params") or {}
    return {key: OmegaConf.to_container(OmegaConf.create(f"[{values}]")) for key, values in params.items()}


def configurations(experiment: str, overrides: list[str] | None = None) -> list[DictConfig]:
    """The configuration of each run of an experiment: one, or all of its sweep."""
    choices = [[f"{key}={value}" for value in values] for key, values in swept(experiment).items()]
    return [config.compose([f"experiment={experiment}", *(overrides or []), *chosen]) for chosen in product(*choices)]


def quick(experiment: str) -> list[str]:
    """What makes an experiment a quick look."""
    return next((words for name, words in QUICK.items() if experiment.startswith(name)), [])
