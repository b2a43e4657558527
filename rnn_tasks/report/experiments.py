"""The experiments of the report, and their configurations."""

from itertools import product
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rnn_tasks import config
from rnn_tasks.runs.directory import OUTPUTS

# Sweeps that only some claims need, and the reader of handwriting.
FURTHER = (
    *("mnist_handwriting", "mnist_rnn_adam_grid", "mnist_rnn_sgd_grid", "mnist_ablation_plain", "mnist_ablation"),
    *("memory_hidden_sizes", "adder_equal_epochs", "adder_equal_updates", "adder_batch_size", "adder_loss_batch_size"),
)

# All; the longest come first, so that several cores end at about the same time.
EXPERIMENTS = (
    *("mnist_birnn_adam", "mnist_handwriting", "mnist_rnn_adam_grid", "mnist_rnn_adam", "mnist_rnn_sgd"),
    *("mnist_rnn_sgd_grid", "mnist_ablation_plain", "mnist_ablation", "mnist_lstm_sgd_slow", "mnist_lstm_sgd"),
    *("memory_hidden_sizes", "adder_equal_epochs", "memory_two_units", "adder_equal_updates", "adder_batch_size"),
    *("adder_loss_batch_size", "memory_hidden10", "memory_hidden5", "adder_hidden", "memory_hidden2", "adder_loss"),
    "adder_length5",
)

# The table of the field, see report/suite; each experiment is a sweep.
SUITE = (
    *("suite", "suite_tomita", "suite_groups", "suite_counters", "suite_long_lag", "suite_temporal_order"),
    *("suite_adding", "suite_few_sums", "suite_few_brackets", "suite_few_letters", "suite_models"),
)

# Overrides of a quick look, by the prefix of an experiment's name; the first prefix that fits counts.
QUICK = {
    "mnist_birnn": ["trainer.max_epochs=2", "trainer.limit_train_batches=0.25"],
    "mnist": ["trainer.max_epochs=2", "trainer.limit_train_batches=0.5"],
    "memory_two": ["model.replicates=32", "trainer.max_epochs=2"],
    "memory": ["model.replicates=16", "trainer.max_epochs=20"],
    "adder": ["model.replicates=16"],
}
QUICK_OUTPUTS = OUTPUTS / "quick"


def swept(experiment: str) -> dict[str, list[Any]]:
    """Return the values that an experiment sweeps over, by their keys; empty if it is no sweep.

    Raises:
        FileNotFoundError: there is no such experiment.
    """
    file = OmegaConf.load(config.CONF / "experiment" / f"{experiment}.yaml")
    params = OmegaConf.select(file, "hydra.sweeper.params") or {}
    return {key: list(OmegaConf.create(f"[{values}]")) for key, values in params.items()}


def configurations(experiment: str, overrides: list[str] | None = None) -> list[DictConfig]:
    """Return the configuration of each run of an experiment: a single one, or one for each choice of its sweep.

    A key that the overrides give is not swept.
    """
    words = [f"experiment={experiment}", *(overrides or [])]
    given = {word.partition("=")[0] for word in words}
    choices = [[f"{key}={value}" for value in values] for key, values in swept(experiment).items() if key not in given]
    return [config.compose([*words, *chosen]) for chosen in product(*choices)]


def pieces(experiment: str) -> list[list[str]]:
    """Return overrides that cut a sweep of the suite into pieces, a task and its values in each."""
    choices = [(key, values) for key, values in swept(experiment).items() if key not in ("model", "optimizer.lr")]
    return [
        [f"{key}={value}" for (key, _), value in zip(choices, chosen, strict=True)]
        for chosen in product(*(values for _, values in choices))
    ]


def quick(experiment: str) -> list[str]:
    """Return the overrides that make an experiment a quick look."""
    return next((overrides for prefix, overrides in QUICK.items() if experiment.startswith(prefix)), [])
