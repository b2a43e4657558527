"""Sequences of people's own, read from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from rnn_tasks import checks
from rnn_tasks.errors import UserError
from rnn_tasks.tasks import tables
from rnn_tasks.tasks.answers import KINDS, Kind
from rnn_tasks.tasks.base import Task
from rnn_tasks.tasks.cells import joined, parsed_inputs, read_inputs, written_answer, written_inputs
from rnn_tasks.tasks.description import Description
from rnn_tasks.tasks.examples import Examples
from rnn_tasks.tasks.preparation import Choices, Prepared, prepare
from rnn_tasks.tasks.roles import roles
from rnn_tasks.tasks.understanding import report

SHARES = (0.15, 0.15)  # of validation and test


def _check_folds(folds: int | None, fold: int, split_by: str | None, test_share: float) -> None:
    """Refuse folds that do not go with the other values.

    Raises:
        ValueError: they do not.
    """
    if folds is None:
        return checks.require(fold == 0, "fold", fold, "0 without folds, the number of parts")
    checks.whole_numbers(2, folds=folds)
    checks.whole_numbers(0, fold=fold)
    checks.require(fold < folds, "fold", fold, f"less than folds={folds}, counted from 0")
    checks.require(split_by is None, "folds", folds, f"left out beside split_by={split_by}, which gives one test set")
    valid = test_share == SHARES[1]
    checks.require(valid, "test_share", test_share, f"left out beside folds={folds}, of which each is a test set")


class File(Task):
    """Sequences from a file: a row for each step, columns for inputs and targets.

    A file of two sequences, which ask after their last step for the name of a class:

        sequence,step,x,y,target
        a,1,0.5,red,
        a,2,0.7,blue,rising
        b,1,0.9,red,
        b,2,0.1,red,falling

    Numbers are standardised and texts become one-hot vectors, both by the training rows alone. Whole sequences are
    drawn for the three sets.

    Args:
        path: of a .csv, .tsv, .parquet or .npz file.
        sequence: the column that says which rows belong together; None is ``sequence`` or ``id``.
        step: the column that orders the rows of a sequence; None is ``step`` or ``time``, or the order of the rows.
        inputs: columns; none are all others.
        targets: columns; none are those whose names begin with "target".
        split_by: a column with train, val or test for each sequence; None draws the sets.
        kind: of the targets, "classes", "bits" or "numbers"; None is what they look like.
        answer: "end" asks for one answer after the last step, "every_step" for one at each step that has a target; None
            is "end" if no sequence has two different targets.
        missing: "refuse" refuses empty inputs, "mean" takes the mean of the training rows, and of texts no category.
        standardize: whether numbers are standardised.
        val_share, test_share: of all sequences.
        folds: parts of a cross-validation, each of which is the test set of one run; None for a single test set.
        fold: the part that is the test set of this run, counted from 0.
        tolerance: the largest error of a right number, in standard deviations of the training targets.
        digest: a hash of the file's content, which is compared; None is that of the file as it is.
        description: what a run knows of its file; with it none is read before ``setup``.
        values: name, batch_size, data_seed, seed and replicates of Task.

    Raises:
        ValueError: a value is out of its range.
        UserError: the file is missing, or cannot be understood; one line names the row and the column.
    """

    def __init__(
        self,
        path: str | None = None,
        sequence: str | None = None,
        step: str | None = None,
        inputs: Sequence[str] = (),
        targets: Sequence[str] = (),
        split_by: str | None = None,
        kind: Kind | None = None,
        answer: str | None = None,
        missing: str = "refuse",
        standardize: bool = True,
        val_share: float = SHARES[0],
        test_share: float = SHARES[1],
        folds: int | None = None,
        fold: int = 0,
        tolerance: float = 0.1,
        digest: str | None = None,
        description: str | None = None,
        **values: Any,
    ) -> None:
        checks.require(path is not None, "path", path, "the name of a file, like task.path=data.csv")
        checks.one_of(("refuse", "mean"), missing=missing)
        checks.booleans(standardize=standardize)
        checks.positive(val_share=val_share, test_share=test_share)
        checks.require(val_share + test_share < 1, "val_share", val_share, f"less than 1 with test_share={test_share}")
        _check_folds(folds, fold, split_by, test_share)
        checks.positive(tolerance=tolerance)
        if kind is not None:
            checks.one_of(KINDS, kind=kind)
        if answer is not None:
            checks.one_of(("end", "every_step"), answer=answer)
        checks.whole_numbers(0, data_seed=values.get("data_seed", 0))
        self.path = Path(str(path))
        self.named = (sequence, step, tuple(inputs), tuple(targets), split_by)
        drawing = (val_share, test_share, values.get("data_seed", 0), folds, fold)
        self.choices = Choices(kind, answer, missing, standardize, *drawing)
        self.digest = digest
        self.prepared: Prepared | None = None
        if description is None:
            self.prepared = self._prepare()
            self.known = self.prepared.description
        else:
            self.known = Description.parse(description)
        self._declare(tolerance)
        train, val, test = self.known.sizes
        super().__init__(lengths=self.known.lengths, train_size=train, val_size=val, test_size=test, **values)

    def _declare(self, tolerance: float) -> None:
        """Set what a task must have."""
        known = self.known
        self.input_size = sum(feature.size for feature in known.inputs)
        self.output_size = len(known.classes) if known.kind == "classes" else len(known.targets)
        self.readout = "every_step" if known.every_step else "last"
        self.answer_kind, self.tolerance = known.kind, tolerance

    @property
    def description(self) -> str:
        """Return what a run has to know of its file, as text for its configuration.

        Raises:
            UserError: there is too much of it.
        """
        try:
            return self.known.text()
        except ValueError as error:
            raise UserError(f"task.path={self.path}: {error}") from None

    def _prepare(self) -> Prepared:
        """Read the file, and divide it into sets.

        Raises:
            UserError: it has changed, or cannot be read or understood.
        """
        found = roles(self.path, tables.header(self.path), *self.named)
        table = tables.read(self.path, found.modes())
        if self.digest is not None and table.digest != self.digest:
            raise UserError(f"{self.path}: has changed since the run began; give it its former content, or train anew")
        self.digest = table.digest
        return prepare(table, found, self.choices)

    def setup(self, stage: str | None = None) -> None:
        """Read the file and make the three sets.

        Raises:
            UserError: it is missing or has changed.
        """
        prepared, self.prepared = self.prepared or self._prepare(), None
        tables.release()
        if prepared.description != self.known:
            raise UserError(f"{self.path}: another version of rnn_tasks has read it otherwise; train anew")
        self.train, self.val, test = prepared.examples()
        self.test = [test]

    def test_examples(self, lengths: Sequence[int], size: int) -> list[Examples]:
        raise UserError("--lengths: sequences of a file have their own; leave it out to measure on the test set")

    @property
    def about(self) -> str:
        """What was understood of the file, for ``show``."""
        if self.prepared is None:
            self.prepared = self._prepare()
        return report(self.prepared, self.tolerance)

    def read(self, path: str) -> list[tuple[str | None, Tensor]]:
        """Return the name and the inputs [T, D] of each sequence of a file with the same columns of inputs.

        Raises:
            UserError: it cannot be read; one line names the row and the column.
        """
        return read_inputs(Path(path), self.known, self.choices.missing == "mean")

    @property
    def example(self) -> str:  # type: ignore[override]
        """A problem as people write it: the cells of each step, in the order of the inputs."""
        return "; ".join([joined([(feature.categories or ("0.5",))[0] for feature in self.known.inputs])] * 2)

    @property
    def scales(self) -> list[tuple[str, float]]:
        """The name of each number that is answered, and how many units of the file its deviation of 1 is."""
        return [(feature.name, feature.std) for feature in self.known.targets]

    def parse(self, text: str) -> Tensor:
        return parsed_inputs(text, self.known.inputs, self.example)

    def write_input(self, inputs: Tensor) -> str:
        return written_inputs(inputs, self.known.inputs)

    def write_answer(self, answer: Tensor) -> str:
        return written_answer(answer, self.known)
