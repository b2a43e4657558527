"""Automata as tables of states, as people write them into a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rnn_tasks import checks
from rnn_tasks.tasks.automata import NONE, Automaton, explored

MOST_SYMBOLS = 1_000


def from_states(
    alphabet: Sequence[Any], states: Mapping[Any, Any], symbols: Mapping[Any, Sequence[float]] | None = None
) -> tuple[Automaton, list[str]]:
    """Return the automaton that a table of states describes, and the names of its answers.

    Args:
        alphabet: the symbols.
        states: by name, the first of which is the start: ``{"next": {symbol: state}, "output": answer}``. A symbol that
            is missing in ``next`` cannot come. The output is that after a symbol has led to the state; or, of a mapping
            {symbol: answer}, after the symbol has been read in it. Without one no answer is asked.
        symbols: what a network reads for each symbol; without it a one-hot vector.

    Raises:
        ValueError: a state, symbol or output is none.
    """
    letters = [str(symbol) for symbol in alphabet]
    checks.require(0 < len(letters) <= MOST_SYMBOLS, "alphabet", len(letters), f"1 to {MOST_SYMBOLS:,} symbols")
    checks.require(
        isinstance(states, Mapping) and len(states) > 0, "states", states, "a mapping of states by their names"
    )
    table = {str(name): _State.of(str(name), state, letters) for name, state in states.items()}
    unknown = [after for state in table.values() for after in state.next.values() if after not in table]
    checks.require(not unknown, "next", (unknown or [""])[0], f"one of the states {', '.join(table)}")
    names = _answer_names(table.values())

    def step(name: str, symbol: str) -> tuple[str, int | None] | None:
        if (after := table[name].next.get(symbol)) is None:
            return None
        answer = table[name].outputs.get(symbol, table[after].output)
        return after, None if answer is None else names.index(answer)

    features = None if symbols is None else _features(letters, symbols)
    return explored(letters, next(iter(table)), step, features, range(len(names))), names


def as_states(automaton: Automaton, names: Sequence[str]) -> dict[str, dict[str, dict[str, str]]]:
    """Return the table of states of an automaton whose answers have names, as ``from_states`` reads it."""
    order = [automaton.start, *(state for state in range(len(automaton.next_states)) if state != automaton.start)]
    table = {}
    for state in order:
        rows = automaton.next_states[state].tolist(), automaton.outputs[state].tolist()
        moves = [move for move in zip(automaton.alphabet, *rows, strict=True) if move[1] != NONE]
        outputs = {symbol: names[output] for symbol, _, output in moves if output != NONE}
        table[str(state)] = {"next": {symbol: str(after) for symbol, after, _ in moves}, "output": outputs}
    return table


def _features(letters: list[str], symbols: Mapping[Any, Sequence[float]]) -> Tensor:
    rows = {str(symbol): list(row) for symbol, row in symbols.items()}
    checks.require(set(rows) == set(letters), "symbols", sorted(rows), f"a list of numbers for each of {letters}")
    checks.require(len({len(row) for row in rows.values()}) == 1, "symbols", rows, "lists of one length")
    return torch.tensor([rows[letter] for letter in letters], dtype=torch.float32)


@dataclass(frozen=True)
class _State:
    """A row of a table of states; ``output`` is after a symbol has led here, ``outputs`` after one was read here."""

    next: dict[str, str]
    output: str | None
    outputs: dict[str, str]

    @classmethod
    def of(cls, name: str, state: Any, letters: list[str]) -> _State:
        known = isinstance(state, Mapping) and set(state) <= {"next", "output"}
        known = known and isinstance(state.get("next"), Mapping)
        rule = "a mapping with next and output, like {next: {a: other}, output: 0}"
        checks.require(known, f"states.{name}", state, rule)
        output, after = state.get("output"), {str(key): str(value) for key, value in state["next"].items()}
        by_symbol = {str(k): str(v) for k, v in output.items()} if isinstance(output, Mapping) else {}
        strange = [symbol for symbol in (*after, *by_symbol) if symbol not in letters]
        checks.require(not strange, f"states.{name}", (strange or [""])[0], f"one of the symbols {', '.join(letters)}")
        return cls(after, None if output is None or isinstance(output, Mapping) else str(output), by_symbol)


def _answer_names(states: Iterable[_State]) -> list[str]:
    """Return the different answers: whole numbers in their order, all others as they come."""
    given = [answer for state in states for answer in (state.output, *state.outputs.values()) if answer is not None]
    found = dict.fromkeys(given)
    checks.require(len(found) > 1, "output", ", ".join(found), "at least two different answers of the states")
    return sorted(found, key=int) if all(answer.isdecimal() for answer in found) else list(found)
