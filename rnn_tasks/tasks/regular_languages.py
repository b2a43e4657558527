"""Regular tasks of formal languages: each states a rule for the next state and the answer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rnn_tasks import checks
from rnn_tasks.tasks.automata import explored
from rnn_tasks.tasks.automaton_sources import ACCEPTOR
from rnn_tasks.tasks.regular import Regular

DEAD = -1  # the state of strings that cannot become members any more
TOMITA = {  # for each grammar the next states after 0 and after 1, and the accepting states; the start is 0
    1: ({0: (DEAD, 0)}, {0}),
    2: ({0: (DEAD, 1), 1: (0, DEAD)}, {0}),
    3: ({0: (0, 1), 1: (2, 0), 2: (3, DEAD), 3: (2, 1)}, {0, 1, 3}),
    4: ({0: (1, 0), 1: (2, 0), 2: (DEAD, 0)}, {0, 1, 2}),
    5: ({0: (1, 2), 1: (0, 3), 2: (3, 0), 3: (2, 1)}, {0}),
    6: ({0: (1, 2), 1: (2, 0), 2: (0, 1)}, {0}),
    7: ({0: (0, 1), 1: (2, 1), 2: (2, 3), 3: (DEAD, 3)}, {0, 1, 2, 3}),
}


class Tomita(Regular):
    """Whether a string of bits belongs to one of seven small languages.

    1: no zeros. 2: ``10`` repeated. 3: no run of ones of odd length is followed by a run of zeros of odd length. 4: not
    three zeros in a row. 5: the numbers of zeros and of ones are even. 6: their difference is a multiple of 3. 7:
    zeros, ones, zeros, ones, any number of each. Source: Tomita 1982.

    Args:
        grammar: from 1 to 7.
        values: those of Regular.

    Raises:
        ValueError: a value is out of its range.
    """

    def __init__(self, grammar: int = 1, **values: Any) -> None:
        checks.whole_numbers(1, 7, grammar=grammar)
        table, accepting = TOMITA[grammar]

        def step(state: int, symbol: str) -> tuple[int, int]:
            after = table[state][int(symbol)] if state != DEAD else DEAD
            return after, int(after in accepting)

        super().__init__(automaton=(explored("01", 0, step, answers=(0, 1)), ACCEPTOR), **values)


PAIRS = ("()", "[]", "{}", "<>")


class BoundedDyck(Regular):
    """Whether brackets are well nested, no deeper than a limit: ``([])`` is, ``([)]`` and ``((`` are not.

    A state is the list of open brackets. Source: Hewitt et al. 2020.

    Args:
        brackets: kinds of brackets, from 1 to 4.
        depth: brackets that may be open at once.
        values: those of Regular.

    Raises:
        ValueError: a value is out of its range, or there would be too many states.
    """

    def __init__(self, brackets: int = 1, depth: int = 3, **values: Any) -> None:
        checks.whole_numbers(1, len(PAIRS), brackets=brackets)
        checks.whole_numbers(1, 1000, depth=depth)
        closing = {pair[0]: pair[1] for pair in PAIRS[:brackets]}

        def step(opened: str | int, symbol: str) -> tuple[str | int, int]:
            after: str | int = DEAD
            if isinstance(opened, str):
                if symbol in closing:
                    after = opened + symbol if len(opened) < depth else DEAD
                elif opened and closing[opened[-1]] == symbol:
                    after = opened[:-1]
            return after, int(after == "")

        automaton = explored("".join(PAIRS[:brackets]), "", step, answers=(0, 1))
        super().__init__(automaton=(automaton, ACCEPTOR), **values)


REBER: dict[int, dict[str, int]] = {
    0: {"B": 1},
    1: {"T": 2, "P": 3},
    2: {"S": 2, "X": 4},
    3: {"T": 3, "V": 5},
    4: {"X": 3, "S": 6},
    5: {"P": 4, "V": 6},
    6: {"E": 7},
}


class EmbeddedReber(Regular):
    """Reber's grammar between two equal letters: ``BT BTXSE TE`` and ``BP BPVVE PE`` are strings, written together.

    The letter before the last must be the second, which a network has to remember over the inner string. Sources: Reber
    1967, Cleeremans et al. 1989, Hochreiter and Schmidhuber 1997.

    Args:
        values: those of Regular.

    Raises:
        ValueError: a value is out of its range.
    """

    def __init__(self, **values: Any) -> None:
        def step(state: Any, symbol: str) -> tuple[Any, int]:
            after = _after_reber(state, symbol)
            return after, int(after == "end")

        super().__init__(automaton=(explored("BTPSXVE", "", step, answers=(0, 1)), ACCEPTOR), **values)


def _after_reber(state: Any, symbol: str) -> Any:
    """Return the state after a symbol: what has been read around the inner string, or (letter, state in it)."""
    if isinstance(state, tuple):
        letter, inner = state
        if inner == 7:
            return letter + "." if symbol == letter else DEAD
        after = REBER[inner].get(symbol, DEAD)
        return DEAD if after == DEAD else (letter, after)
    outer = {("", "B"): "B", ("B", "T"): ("T", 0), ("B", "P"): ("P", 0), ("T.", "E"): "end", ("P.", "E"): "end"}
    return outer.get((state, symbol), DEAD)


class TemporalOrder(Regular):
    """In which order two marks came, among letters that do not matter: ``EaXcdbYaB`` asks for XY.

    A string begins with E and ends with B. The first mark is between a tenth and a fifth of the string, the second
    between a half and six tenths. Source: Hochreiter and Schmidhuber 1997, experiment 6a.

    Args:
        values: those of Regular.

    Raises:
        ValueError: a value is out of its range.
    """

    LETTERS = "abcdXYEB"
    ORDERS = ("XX", "XY", "YX", "YY")

    def __init__(self, **values: Any) -> None:
        def step(marks: str, symbol: str) -> tuple[str, int | None] | None:
            if marks == "begin":
                return ("", None) if symbol == "E" else None
            if marks == "end" or symbol == "E":
                return None
            if symbol == "B":
                return ("end", self.ORDERS.index(marks)) if marks in self.ORDERS else None
            if symbol in "XY":
                return (marks + symbol, None) if len(marks) < 2 else None
            return marks, None

        super().__init__(automaton=(explored(self.LETTERS, "begin", step), self.ORDERS), **values)

    def lengths_with_examples(self, low: int, high: int) -> list[int]:
        return [length for length in range(low, high + 1) if length >= 10]

    def draw_strings(self, lengths: Tensor, stream: torch.Generator) -> Tensor:
        """Return a string for each of ``lengths`` [N]: [N, T]."""
        steps = torch.arange(int(lengths.max()))
        strings = torch.randint(4, (len(lengths), len(steps)), generator=stream)
        for low, high in ((0.1, 0.2), (0.5, 0.6)):
            first, last = (lengths * low).long(), (lengths * high).long()
            place = first + (torch.rand(lengths.shape, generator=stream) * (last - first + 1)).long()
            marks = torch.randint(4, 6, lengths.shape, generator=stream)
            strings[steps == place[:, None]] = marks
        strings[:, 0] = 6
        strings[steps == lengths[:, None] - 1] = 7
        return strings * (steps < lengths[:, None])
