"""Well-nested brackets of any depth: the Dyck language."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from rnn_tasks import checks
from rnn_tasks.tasks import symbols
from rnn_tasks.tasks.base import Task

PAIRS = "()[]{}"


class Dyck(Task):
    """Brackets of up to three kinds, of which each closes the innermost one that is open.

    With ``answer="end"`` a bit after the last step says whether a string is well nested:

        ([])[]  1
        ([)][]  0

    With ``answer="next"`` all strings are well nested, and the answer at each step is the set of symbols that can come
    next (Suzgun, Gehrmann, Belinkov and Shieber 2019): any opening bracket, and the one that closes the innermost.

        step      0      1      2      3      4      5
        input     (      [      ]      )      [      ]
        target    ( [ )  ( [ ]  ( [ )  ( [    ( [ ]  ( [

    An input is a one-hot vector over ``()[]{}``, a target of ``next`` one bit for each of these symbols. The depth has
    no bound, so no finite automaton does this: with one kind a counter is needed, with more a stack.

    Well-nested strings of a length are drawn uniformly. For ``end`` half of the strings are then edited until they are
    not well nested: one symbol is replaced or two are swapped, so counting the brackets is not enough. Lengths are
    even.

    Args:
        brackets: kinds of brackets, 1 to 3.
        answer: "end" or "next".
        values: those of Task.

    Raises:
        ValueError: a value is out of its range.
    """

    example = "(())"

    def __init__(self, brackets: int = 2, answer: Literal["end", "next"] = "end", **values: Any) -> None:
        checks.whole_numbers(1, len(PAIRS) // 2, brackets=brackets)
        checks.one_of(("end", "next"), answer=answer)
        self.alphabet, self.brackets, self.asks_next = PAIRS[: 2 * brackets], brackets, answer == "next"
        self.input_size = 2 * brackets
        self.output_size = 2 * brackets if self.asks_next else 1
        self.answer_kind, self.readout = "bits", "every_step" if self.asks_next else "last"
        super().__init__(**values)

    def lengths_with_examples(self, low: int, high: int) -> list[int]:
        return list(range(low + low % 2, high + 1, 2))

    def draw(self, lengths: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        strings = well_nested(lengths, self.brackets, stream)
        if self.asks_next:
            targets = torch.ones(*strings.shape, self.input_size)
            targets[..., 1::2] = one_hot(innermost(strings)[:, 1:] + 1, self.brackets + 1)[..., 1:].float()
        else:
            targets = torch.randint(2, (len(lengths),), generator=stream)
            wrong = targets == 0
            strings[wrong] = edited(strings[wrong], lengths[wrong], self.brackets, stream)
        return symbols.encode(strings, lengths, self.input_size), targets

    def parse(self, text: str) -> Tensor:
        if not text or set(text) - set(self.alphabet):
            raise ValueError(f"{text!r} is no string of the brackets {self.alphabet} like {self.example}")
        return symbols.parse(text, self.alphabet)

    def write_input(self, inputs: Tensor) -> str:
        return symbols.write(inputs, self.alphabet)

    def write_answer(self, answer: Tensor) -> str:
        if answer.dim() > 1 or not self.asks_next:
            return super().write_answer(answer)
        return symbols.write_set(answer, self.alphabet)


def well_nested(lengths: Tensor, brackets: int, stream: torch.Generator) -> Tensor:
    """Draw well-nested strings of even lengths uniformly: [N] -> [N, T], numbers of symbols of PAIRS.

    Where d brackets are open and r steps remain, a share of (d + 2) (r - d) / (2 r (d + 1)) of the ways to go on opens
    another (Arnold and Sleep 1980). The padding is closing brackets.
    """
    steps, depth = int(lengths.max()), torch.zeros_like(lengths)
    opens = torch.zeros(len(lengths), steps, dtype=torch.bool)
    for step in range(steps):
        left = (lengths - step).clamp(min=0)
        ways = 2 * left * (depth + 1)
        chosen = torch.rand(len(lengths), generator=stream, dtype=torch.float64) * ways < (depth + 2) * (left - depth)
        opens[:, step] = chosen & (left > 0)
        depth = (depth + 2 * opens[:, step] - 1).clamp(min=0)
    strings = 2 * torch.randint(brackets, opens.shape, generator=stream) + ~opens
    closed = innermost(strings)[:, :-1]
    return torch.where(opens, strings, 2 * closed.clamp(min=0) + 1)


def innermost(strings: Tensor) -> Tensor:
    """Return the kind of the innermost open bracket before each step and after the last: [N, T] -> [N, T + 1].

    A closing bracket closes the innermost whatever its kind. Where none is open the kind is -1.
    """
    size, steps = strings.shape
    rows, depth = torch.arange(size), torch.zeros(size, dtype=torch.int64)
    stack = torch.full((size, steps + 1), -1)
    kinds = torch.full((size, steps + 1), -1)
    for step in range(steps):
        opens = strings[:, step] % 2 == 0
        depth = (depth + 2 * opens - 1).clamp(min=0)
        stack[rows[opens], depth[opens]] = strings[opens, step] // 2
        kinds[:, step + 1] = stack[rows, depth]
    return kinds


def is_well_nested(strings: Tensor, lengths: Tensor) -> Tensor:
    """Return whether strings of the numbers of symbols of PAIRS are well nested: [N, T], [N] -> [N]."""
    kinds = innermost(strings)
    fits = (strings % 2 == 0) | (strings // 2 == kinds[:, :-1])
    padding = torch.arange(strings.shape[1]) >= lengths[:, None]
    return (fits | padding).all(1) & (kinds.gather(1, lengths[:, None]).squeeze(1) == -1)


def edited(strings: Tensor, lengths: Tensor, brackets: int, stream: torch.Generator) -> Tensor:
    """Return well-nested strings [N, T] with one symbol replaced or two swapped, so that they are not well nested."""
    result, todo = strings.clone(), torch.arange(len(strings))
    while len(todo):
        strings_, lengths_, rows = strings[todo], lengths[todo], torch.arange(len(todo))
        shares = torch.rand(2, len(todo), generator=stream, dtype=torch.float64)
        first, second = (shares * lengths_).long()
        swaps = torch.randint(2, (len(todo),), generator=stream).bool()
        other = (strings_[rows, first] + torch.randint(1, 2 * brackets, (len(todo),), generator=stream)) % (
            2 * brackets
        )
        replaced = torch.where(swaps, strings_[rows, second], other)
        changed = strings_.clone()
        changed[rows[swaps], second[swaps]] = strings_[rows[swaps], first[swaps]]
        changed[rows, first] = replaced
        result[todo] = changed
        todo = todo[is_well_nested(changed, lengths_)]
    return result
