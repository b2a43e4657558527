"""Losses that must not change unless a change is meant to change numbers: ``python tests/golden.py`` writes them anew.

Each case is twenty optimizer steps in double precision. A change that alters them on purpose raises
``rnn_tasks.runs.identity.NUMERICS`` and commits the new file with it.
"""

import csv
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rnn_tasks import config
from rnn_tasks.runs.identity import NUMERICS
from rnn_tasks.train import train

FILE = Path(__file__).with_suffix(".json")
STEPS = 20
COMMON = [
    "trainer.precision=64-true",
    "trainer.max_epochs=1",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "task.batch_size=8",
    f"task.train_size={8 * STEPS}",
    "task.val_size=16",
    "task.test_size=2",
    "logger=csv",
    "threads=1",
]
CASES = {
    "adder": [],
    "adder rnn": ["model=rnn"],
    "adder gru": ["model=gru"],
    "adder mingru": ["model=mingru"],
    "adder minlstm": ["model=minlstm", "model.layers=2"],
    "adder transformer": ["model=transformer", "model.dropout=0.2", "model.replicates=2"],
    "adder birnn": ["model=birnn"],
    "adder bilstm": ["model=bilstm"],
    "adder mse": ["loss=mse"],
    "adder msb": ["task.order=msb"],
    "adder sgd": ["optimizer=sgd"],
    "adder adamw": ["optimizer=adamw", "scheduler=none"],
    "adder wide rnn": ["model=rnn", "model.hidden=60"],
    "adder wide gru": ["model=gru", "model.hidden=60"],
    "adder wide lstm": ["model.hidden=60"],
    "adder clipped by value": ["trainer.gradient_clip_algorithm=value", "trainer.gradient_clip_val=0.01"],
    "adder dropout": ["model.layers=2", "model.dropout=0.3"],
    "adder initial weights": ["model.init=0.5"],
    "adder seeds": ["seed=3", "task.data_seed=4"],
    "adder replicates": ["model.replicates=3", "model=rnn", "model.hidden=20"],
    "adder wide replicates": ["model.replicates=2", "model.hidden=50", "model.layers=2", "model.dropout=0.5"],
    "memory": ["task=memory"],
    "memory mse": ["task=memory", "loss=mse", "model=rnn"],
    "memory label smoothing": ["task=memory", "loss.label_smoothing=0.1"],
    "memory mean": ["task=memory", "model=bilstm", "model.pooling=mean"],
    "memory k": ["task=memory", "task.k=2"],
    "memory accumulated": ["task=memory", "trainer.accumulate_grad_batches=2"],
    "mnist": ["task=mnist", "model.hidden=16"],
    "mnist rnn": ["task=mnist", "model=rnn", "model.hidden=64", "optimizer=sgd", "optimizer.lr=0.01"],
    "mnist augmented": [
        *("task=mnist", "model=crnn", "model.hidden=8", "model.channels=[2,4]", "model.replicates=2"),
        *("model.dropout=0.2", "task/augmentation=handwriting", "loss.label_smoothing=0.05"),
    ],
}


def losses(words: list[str], place: Path) -> dict[str, list[float]]:
    """The training loss of every step, and the final losses on the validation and test sets."""
    result = train(config.compose([*COMMON, *words]), place)
    (file,) = place.rglob("metrics.csv")
    with file.open(newline="") as text:
        steps = [float(row["train/loss"]) for row in csv.DictReader(text) if row.get("train/loss")]
    return {"train": steps, **{split: result["metrics"][split]["loss"] for split in ("val", "test")}}


def main() -> None:
    """Write the losses of all cases; a number says with which version of the numerics."""
    found = {}
    for name, words in CASES.items():
        with TemporaryDirectory() as place:
            found[name] = losses(words, Path(place))
            print(name, len(found[name]["train"]), file=sys.stderr)
    FILE.write_text(json.dumps({"numerics": NUMERICS, "losses": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
