"""Tasks with finitely many symbols: what their sequences and answers are as strings of numbers."""

from typing import NamedTuple

import torch
from torch import Tensor

from rnn_tasks.tasks import Task
from rnn_tasks.tasks.automata import NONE, Automaton

MOST_SYMBOLS, MOST_ANSWERS = 12, 256  # of a task that states no automaton

LONGEST_NAME = 12  # characters in a figure


class Language(NamedTuple):
    """The symbols and answers of a task.

    Attributes:
        alphabet: names of the A symbols.
        symbols: [A, D], what a network reads for each.
        answers: [K] or [K, C], as in tasks.automata.Automaton; the last, -1, stands for any answer that is not listed.
        answer_names: of the K answers.
        rule: the automaton that gives the right answers, None if the task states none.
    """

    alphabet: tuple[str, ...]
    symbols: Tensor
    answers: Tensor
    answer_names: list[str]
    rule: Automaton | None

    @property
    def names(self) -> list[str]:
        """Short names of the symbols, for figures."""
        return [short(symbol) for symbol in self.alphabet]

    def numbers(self, inputs: Tensor) -> Tensor:
        """Return the numbers of symbols, -1 for inputs that are none: [..., D] -> [...]."""
        return _places(inputs, self.symbols, NONE)

    def answer_numbers(self, answers: Tensor) -> Tensor:
        """Return the numbers of answers, [...] or [..., C] -> [...]."""
        last = len(self.answers) - 1
        if self.answers.dim() == 1:
            return _places(answers[..., None], self.answers[:-1, None], last)
        return _places(answers, self.answers[:-1], last)

    def automaton(self, next_states: Tensor, outputs: Tensor, start: int) -> Automaton:
        """Return an automaton with these symbols and answers, and tables [S, A]."""
        return Automaton(self.alphabet, next_states, outputs, self.symbols, self.answers, start)

    def text(self, string: list[int]) -> str:
        """Return a string as people write it, from the numbers of its symbols."""
        joint = "" if all(len(symbol) == 1 for symbol in self.alphabet) else " "
        return joint.join(self.names[number] for number in string)


def short(name: str) -> str:
    """Return a name of at most LONGEST_NAME characters."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _places(rows: Tensor, among: Tensor, missing: int) -> Tensor:
    """Return which row of ``among`` [A, D] each of [..., D] is: [...]."""
    places = torch.full(rows.shape[:-1], missing)
    for number, row in enumerate(among):
        places[(rows == row).all(-1)] = number
    return places


def language_of(task: Task) -> Language | None:
    """Return the symbols and answers of a task that has been set up; None if they are not finitely many.

    Without an automaton the symbols are the inputs that occur in the training examples.
    """
    if task.format.kind == "numbers":
        return None
    rule = task.automaton
    if rule is not None:
        return _language(rule.alphabet, rule.symbols, rule.answers, getattr(task, "answer_names", []), rule)
    steps = torch.arange(task.train.inputs.shape[1])
    read = task.train.inputs[steps < task.train.lengths[:, None]]
    symbols = read[0][None]
    while len(symbols) <= MOST_SYMBOLS and len(read := read[_places(read, symbols, NONE) == NONE]):
        symbols = torch.cat((symbols, read[:1]))
    answers = task.train.targets[task.train.real].unique(dim=0)
    if len(symbols) > MOST_SYMBOLS or len(answers) > MOST_ANSWERS:
        return None
    symbols = symbols.unique(dim=0)
    alphabet = tuple(" ".join(f"{number:g}" for number in row) for row in symbols.tolist())
    return _language(alphabet, symbols, answers.long(), [], None)


def _language(
    alphabet: tuple[str, ...], symbols: Tensor, answers: Tensor, names: list[str], rule: Automaton | None
) -> Language:
    if len(names) != len(answers) or answers.dim() == 2:
        names = ["".join(map(str, row)) for row in answers.reshape(len(answers), -1).tolist()]
    listed = torch.cat((answers, torch.full_like(answers[:1], -1)))
    return Language(alphabet, symbols, listed, [*map(short, names), "another"], rule)
