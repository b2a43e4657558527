"""Automata from regular expressions and from files.

Nothing of a file is executed; its size is limited.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rnn_tasks import checks, internals
from rnn_tasks.files import read_text
from rnn_tasks.tasks.automata import MOST_STATES, Automaton, explored

LARGEST_FILE = 1 << 26  # bytes
EPSILON = ("<eps>", "<epsilon>", "@0@", "@_EPSILON_SYMBOL_@", "\N{GREEK SMALL LETTER EPSILON}")
ACCEPTOR = ["0", "1"]  # names of the answers: whether a string is in the language


class Nfa:
    """A finite automaton that accepts strings, possibly in several ways (Rabin and Scott 1959).

    Attributes:
        moves: for each state the next states by symbol; None is a move without a symbol.
        start, accepting: states.
    """

    def __init__(self) -> None:
        self.moves: list[dict[str | None, set[int]]] = []
        self.start = 0
        self.accepting: set[int] = set()

    def add_state(self) -> int:
        checks.require(len(self.moves) < MOST_STATES, "states", len(self.moves) + 1, f"at most {MOST_STATES:,}")
        self.moves.append({})
        return len(self.moves) - 1

    def add_move(self, before: int, symbol: str | None, after: int) -> None:
        self.moves[before].setdefault(symbol, set()).add(after)

    def closed(self, states: Iterable[int]) -> frozenset[int]:
        """Return the states that are reached from some without a symbol, with these themselves."""
        found, waiting = set(states), list(states)
        while waiting:
            new = self.moves[waiting.pop()].get(None, set()) - found
            found |= new
            waiting += new
        return frozenset(found)

    def determinized(self, alphabet: Sequence[str]) -> Automaton:
        """Return the complete automaton of the fewest states that says after each symbol whether it accepts."""

        def step(states: frozenset[int], symbol: str) -> tuple[frozenset[int], int]:
            after = self.closed({to for state in states for to in self.moves[state].get(symbol, ())})
            return after, int(bool(after & self.accepting))

        return explored(alphabet, self.closed({self.start}), step, answers=(0, 1)).minimized()


def from_regex(regex: str, alphabet: Sequence[Any] | None = None) -> tuple[Automaton, list[str]]:
    """Return the automaton of a regular expression in the syntax of Python's ``re``, which must match whole strings.

    Args:
        regex: like "(ab)*", without references, assertions and anchors.
        alphabet: characters; without it those of the expression.

    Raises:
        ValueError: it is no regular expression of this kind.
    """
    parsed = internals.parsed_regex(regex)
    letters = [str(symbol) for symbol in alphabet] if alphabet else sorted(_letters(parsed))
    checks.require(bool(letters), "alphabet", alphabet, f"the characters of strings, as {regex!r} names none")
    checks.require(all(len(letter) == 1 for letter in letters), "alphabet", letters, "single characters for a regex")
    nfa = Nfa()
    nfa.accepting = {_add(nfa, nfa.add_state(), parsed, letters)}
    return nfa.determinized(letters), ACCEPTOR


def _letters(part: tuple[Any, ...]) -> set[str]:
    """Return all characters that a part of a regular expression names."""
    kind, *values = part
    if kind == "letters":
        return set(values[0])
    parts = values[0] if kind in ("sequence", "choice") else [values[-1]]
    return set().union(*map(_letters, parts))


def _add(nfa: Nfa, start: int, part: tuple[Any, ...], alphabet: Sequence[str]) -> int:
    """Add a part of a regular expression behind a state, and return the state behind it (Thompson 1968)."""
    kind, *values = part
    if kind == "sequence":
        for each in values[0]:
            start = _add(nfa, start, each, alphabet)
        return start
    end = nfa.add_state()
    if kind == "letters":
        named, others = values
        for letter in alphabet:
            if (letter in named) != others:
                nfa.add_move(start, letter, end)
    elif kind == "choice":
        for each in values[0]:
            nfa.add_move(_add(nfa, start, each, alphabet), None, end)
    else:
        _add_repeated(nfa, start, end, values, alphabet)
    return end


def _add_repeated(nfa: Nfa, start: int, end: int, values: list[Any], alphabet: Sequence[str]) -> None:
    least, most, part = values
    for _ in range(least):
        start = _add(nfa, start, part, alphabet)
    if most is None:
        first = nfa.add_state()  # of its own: moves back to it must not lead out of what comes before
        nfa.add_move(start, None, first)
        nfa.add_move(_add(nfa, first, part, alphabet), None, first)
        nfa.add_move(first, None, end)
        return
    for _ in range(most - least):
        nfa.add_move(start, None, end)
        start = _add(nfa, start, part, alphabet)
    nfa.add_move(start, None, end)


def from_file(path: str | Path) -> tuple[Automaton, list[str]]:
    """Return the automaton in a file of AT&T's format, as OpenFst, foma and MLRegTest write it.

    A line of three columns or more is a move: state, next state, symbol; a fourth column may repeat the symbol, or be a
    weight, which does not count, as the last column after it. A line of one or two columns names an accepting state.
    The first line begins with the start. There may be several moves for a symbol, and moves without one (<eps>, @0@).
    A symbol without a move leads to rejection.

    Raises:
        ValueError: the file is missing, or holds something else.
    """
    try:
        text = read_text(Path(path), LARGEST_FILE).removeprefix("\N{BYTE ORDER MARK}")
    except (OSError, ValueError) as error:
        raise ValueError(f"path={str(path)!r}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    lines = [line.split() for line in text.splitlines()]
    nfa, numbers = Nfa(), dict[str, int]()

    def number(name: str) -> int:
        if name not in numbers:
            numbers[name] = nfa.add_state()
        return numbers[name]

    letters: dict[str, None] = {}
    for place, columns in enumerate(lines, 1):
        if len(columns) > 2:
            symbol = _symbol(columns, f"path={str(path)!r}: line {place}")
            nfa.add_move(number(columns[0]), symbol, number(columns[1]))
            letters |= {} if symbol is None else {symbol: None}
        elif columns:
            nfa.accepting.add(number(columns[0]))
    wanted = "moves like '0 1 a', and accepting states like '1', one a line"
    if not (letters and nfa.accepting):
        raise ValueError(
            f"path={str(path)!r}: has no {'moves' if nfa.accepting else 'accepting states'}; must have {wanted}"
        )
    return nfa.determinized(sorted(letters)), ACCEPTOR


def _symbol(columns: list[str], place: str) -> str | None:
    """Return the symbol of a move; None for a move without one."""
    symbol, *others = columns[2:]
    if others and others[0] != symbol and not (len(others) == 1 and _is_number(others[0])):
        raise ValueError(
            f"{place}: turns {symbol!r} into {others[0]!r}, but must be a move of an acceptor, like '0 1 a'"
        )
    return None if symbol in EPSILON else symbol


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
