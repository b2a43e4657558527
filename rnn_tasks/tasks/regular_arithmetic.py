"""Regular tasks that calculate: each states a rule for the next state and the answer."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import torch
from torch import Tensor

from rnn_tasks import checks
from rnn_tasks.tasks.automata import Automaton, explored
from rnn_tasks.tasks.regular import Regular


class CycleNavigation(Regular):
    """Where a walk on a cycle ends: ``+`` goes a place forwards, ``-`` one back, ``0`` stays.

    With five places ``+0+-++`` ends at place 3, and ``-`` at place 4. Source: Deletang et al. 2023.

    Args:
        places: on the cycle.
        values: those of Regular.

    Raises:
        ValueError: a value is out of its range.
    """

    def __init__(self, places: int = 5, **values: Any) -> None:
        checks.whole_numbers(2, 1000, places=places)
        moves = {"+": 1, "-": -1, "0": 0}

        def step(place: int, symbol: str) -> tuple[int, int]:
            after = (place + moves[symbol]) % places
            return after, after

        super().__init__(automaton=_numbered(explored([*moves], 0, step)), **values)


class ModularArithmetic(Regular):
    """The value of an expression without brackets, such as ``1+2*4-3``, modulo a number; products come first.

    Modulo 5 the answer to ``1+2*4-3`` is 1. Digits and operators alternate, so that lengths are odd. A state is the sum
    of the finished terms and the product with its sign so far. Source: Deletang et al. 2023.

    Args:
        modulus: at most 10, so that each number is a digit.
        values: those of Regular.

    Raises:
        ValueError: a value is out of its range.
    """

    def __init__(self, modulus: int = 5, **values: Any) -> None:
        checks.whole_numbers(2, 10, modulus=modulus)

        def step(state: tuple[int, int, bool], symbol: str) -> tuple[tuple[int, int, bool], int | None] | None:
            total, product, operator_next = state
            if symbol.isdigit() == operator_next:
                return None
            if symbol.isdigit():
                product = product * int(symbol) % modulus
                return (total, product, True), (total + product) % modulus
            if symbol == "*":
                return (total, product, False), None
            return ((total + product) % modulus, 1 if symbol == "+" else modulus - 1, False), None

        automaton = explored([*map(str, range(modulus)), *"+-*"], (0, 1, False), step)
        super().__init__(automaton=_numbered(automaton), **values)


class FlipFlop(Regular):
    """The last pulse of each of several channels: at each step ``+`` sets a bit, ``-`` clears it, ``0`` leaves it.

    With three bits, all 0 at first, ``+00 0+0 -00`` asks for 100, 110 and 010. A step's inputs are 1, -1 and 0.
    Source: Sussillo and Barak 2013.

    Args:
        bits: channels.
        pulses: probability of a pulse in each channel at each step.
        values: those of Regular.

    Raises:
        ValueError: a value is out of its range.
    """

    def __init__(self, bits: int = 3, pulses: float = 0.25, **values: Any) -> None:
        checks.whole_numbers(1, 6, bits=bits)
        checks.positive(pulses=pulses)
        checks.fractions(pulses=pulses)
        self.pulses = pulses
        channels = [*product("-0+", repeat=bits)]

        def step(state: tuple[int, ...], symbol: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
            after = tuple({"-": 0, "0": bit, "+": 1}[pulse] for bit, pulse in zip(state, symbol, strict=True))
            return after, after

        numbers = torch.tensor([["-0+".index(pulse) - 1 for pulse in symbol] for symbol in channels]).float()
        automaton = explored([*map("".join, channels)], (0,) * bits, step, numbers)
        names = ["".join(map(str, answer)) for answer in product((0, 1), repeat=bits)]
        super().__init__(automaton=(_flat(automaton), names), **values)

    def draw_strings(self, lengths: Tensor, stream: torch.Generator) -> Tensor:
        """Return a string for each of ``lengths`` [N], with pulses that do not depend on each other: [N, T]."""
        shape = len(lengths), int(lengths.max()), self.input_size
        signs = torch.randint(2, shape, generator=stream) * 2 - 1
        values = 1 + signs * (torch.rand(shape, generator=stream) < self.pulses)  # 0, 1 or 2: the digits of a symbol
        places = 3 ** torch.arange(self.input_size - 1, -1, -1)
        real = torch.arange(shape[1]) < lengths[:, None]
        return (values * places).sum(2) * real

    def write_set(self, bits: Tensor) -> str:
        return "".join(str(int(bit)) for bit in bits)


class Group(Regular):
    """The product of the elements of a group that have been read, in this order.

    Elements of the symmetric groups S3 to S5 and the alternating groups A3 to A5 are written as permutations: in S3 the
    product of 213 (which swaps 1 and 2) and 132 (then 2 and 3) is 312, since 1 goes to 2 and then to 3. Elements
    of the cyclic groups Z2 to Z99 are numbers, which are added. Source: Liu et al. 2023.

    Args:
        group: such as S3, A4, S5 or Z7.
        values: those of Regular.

    Raises:
        ValueError: a value is out of its range.
    """

    def __init__(self, group: str = "S3", **values: Any) -> None:
        elements, start, multiply = _group(group)
        names = [*elements]

        def step(state: Any, symbol: str) -> tuple[Any, int]:
            after = multiply(state, elements[symbol])
            return after, places[after]

        places = {element: number for number, element in enumerate(elements.values())}
        super().__init__(automaton=(explored(names, start, step), names), **values)


def _group(name: str) -> tuple[dict[str, Any], Any, Any]:
    """Return the elements of a group by their names, its neutral element and its multiplication."""
    rule = "one of S3 to S5, A3 to A5, or Z2 to Z99"
    kind, size = str(name)[:1], int(str(name)[1:]) if str(name)[1:].isdecimal() else 0
    limits = {"S": range(3, 6), "A": range(3, 6), "Z": range(2, 100)}
    checks.require(size in limits.get(kind, ()), "group", name, rule)
    if kind == "Z":
        return {str(i): i for i in range(size)}, 0, lambda first, second: (first + second) % size
    found = [*permutations(range(size))]
    found = [each for each in found if kind == "S" or _is_even(each)]
    return {_text(each): each for each in found}, found[0], lambda first, second: tuple(second[i] for i in first)


def _is_even(permutation: tuple[int, ...]) -> bool:
    return sum(a > b for i, a in enumerate(permutation) for b in permutation[i:]) % 2 == 0


def _text(permutation: tuple[int, ...]) -> str:
    return "".join(str(i + 1) for i in permutation)


def _numbered(automaton: Automaton) -> tuple[Automaton, list[str]]:
    """Return an automaton whose answers are numbers, with their names."""
    return automaton, [str(number) for number in automaton.answers.tolist()]


def _flat(automaton: Automaton) -> Automaton:
    """Return an automaton whose answers are sets of bits, of which one of a single bit is a bit."""
    if automaton.answers.shape[1] > 1:
        return automaton
    parts = vars(automaton) | {"answers": automaton.answers[:, 0]}
    return Automaton(**{name: parts[name] for name in Automaton.__dataclass_fields__})
