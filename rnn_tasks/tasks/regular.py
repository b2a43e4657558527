"""Tasks whose right answers are those of a finite automaton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from rnn_tasks import checks
from rnn_tasks.tasks import automaton_sources as sources
from rnn_tasks.tasks.automata import NONE, Automaton, with_next_symbols
from rnn_tasks.tasks.automaton_tables import from_states
from rnn_tasks.tasks.base import Task
from rnn_tasks.tasks.strings import UniformStrings, edited
from rnn_tasks.tasks.symbols import write_set

ANSWERS = ("end", "every_step", "next")
SAMPLINGS = ("uniform", "balanced", "edited")
EDITS, ROUNDS = 3, 100


class Regular(Task):
    """A task whose right answers are those of a finite automaton.

    The automaton is data: a table of states, a regular expression, or a file. Whether the number of ones is odd:

        task:
          alphabet: [0, 1]
          states:
            even: {next: {0: even, 1: odd}, output: 0}
            odd: {next: {0: odd, 1: even}, output: 1}

    Each symbol goes in as a one-hot vector, or as ``symbols`` says. With the outputs 0 and 1 the answer is a bit, with
    others a class.

    Args:
        alphabet: the symbols; of a regular expression single characters, None for those that stand in it.
        states: by name, the first of which is the start, see automaton_tables.from_states.
        symbols: what a network reads for each symbol; None is a one-hot vector.
        regex: a regular expression in Python's syntax; the answer is whether it matches the string.
        path: a file with an automaton in AT&T's format; the answer is whether it accepts the string.
        answer: "end" asks once, after the last symbol; "every_step" after each, where the automaton has an output;
            "next" asks after each which symbols can come next, as a set of bits, in strings that have the output 1.
        sampling: "uniform" draws all strings of a length with equal probability. "balanced" draws each answer equally
            often at each length, and all strings with that answer with equal probability. "edited" does so for strings
            with the output 1; in the place of the others it draws such a string and changes one to three symbols, until
            its output is 0. The last two leave out lengths at which not all answers can be had.
        about: what the task asks, in a sentence.
        automaton: one that has been made, in the place of the others, and the names of its answers.
        values: those of Task.

    Raises:
        ValueError: a value is out of its range, or there is not one automaton.
    """

    def __init__(
        self,
        alphabet: Sequence[Any] | None = None,
        states: Mapping[Any, Any] | None = None,
        symbols: Mapping[Any, Sequence[float]] | None = None,
        regex: str | None = None,
        path: str | None = None,
        answer: Literal["end", "every_step", "next"] = "end",
        sampling: Literal["uniform", "balanced", "edited"] = "uniform",
        about: str = "",
        automaton: tuple[Automaton, Sequence[str]] | None = None,
        **values: Any,
    ) -> None:
        checks.one_of(ANSWERS, answer=answer)
        checks.one_of(SAMPLINGS, sampling=sampling)
        self.about, self.sampling = about, sampling
        self._counted: UniformStrings | None = None
        automata = {"states": states, "regex": regex, "path": path, "automaton": automaton}
        named = [name for name, value in automata.items() if value is not None]
        if len(named) != 1:
            raise ValueError(
                f"must have one of states, regex and path, the automaton, not {' and '.join(named) or 'none'}"
            )
        if automaton is None:
            automaton = _read(alphabet, states, symbols, regex, path)
        machine, self.answer_names = automaton[0], [*automaton[1]]
        self.kinds = _kinds(machine, sampling == "uniform" or answer == "next")
        if answer == "next":
            accepts = self.answer_names == sources.ACCEPTOR
            checks.require(accepts, "answer", answer, "end or every_step of an automaton without the outputs 0 and 1")
            machine, self.kinds = with_next_symbols(machine)
            self.answer_kind = "bits"
        if sampling == "edited":
            rule = 'with the answers 0 and 1, and answer="end" or "every_step"'
            checks.require(self.answer_names == sources.ACCEPTOR and answer != "next", "sampling", sampling, rule)
            checks.require(len(machine.alphabet) > 1, "sampling", sampling, "of an alphabet of two symbols or more")
        self.machine, self.input_size = machine, machine.symbols.shape[1]
        self.output_size = _outputs(machine)
        if self.output_size == 1 or machine.answers.dim() == 2:
            self.answer_kind = "bits"
        self.readout = "last" if answer == "end" else "every_step"
        self.asks_all = bool((machine.outputs != NONE).all())
        super().__init__(**values)
        if answer == "end":
            self.chance_accuracy = self._chance()

    @property
    def automaton(self) -> Automaton:
        """The automaton that gives the right answers."""
        return self.machine

    @property
    def example(self) -> str:  # type: ignore[override]
        """A string, as people write it."""
        length = next(iter(self.lengths_with_examples(*self.lengths)), None)
        if length is None:
            return ""
        lengths = torch.tensor([min(length + 3, self.lengths[1])])
        lengths = lengths if self.lengths_with_examples(int(lengths), int(lengths)) else torch.tensor([length])
        return self.text(self.draw_strings(lengths, torch.Generator().manual_seed(0))[0].tolist())

    def lengths_with_examples(self, low: int, high: int) -> list[int]:
        """Return the lengths at which each kind of string can be had."""
        strings = self._strings(high)
        return [length for length in range(low, high + 1) if strings.exist(length).all()]

    def _strings(self, longest: int) -> UniformStrings:
        if self._counted is None or len(self._counted.ways) < longest:
            self._counted = UniformStrings(self.machine, self.kinds, longest)
        return self._counted

    def draw(self, lengths: Tensor, stream: torch.Generator) -> tuple[Tensor, ...]:
        """Return inputs, targets and, where answers are not asked everywhere, the steps at which they are."""
        strings = self.draw_strings(lengths, stream)
        real = torch.arange(strings.shape[1]) < lengths[:, None]
        inputs = self.machine.symbols[strings] * real[..., None]
        outputs = self.machine.run(strings)[1].masked_fill(~real, NONE)
        if self.readout == "last":
            return inputs, self._targets(outputs.gather(1, lengths[:, None] - 1).squeeze(1))
        targets = self._targets(outputs)
        return (inputs, targets) if self.asks_all else (inputs, targets, outputs != NONE)

    def draw_strings(self, lengths: Tensor, stream: torch.Generator) -> Tensor:
        """Return a string for each of ``lengths`` [N], as numbers of symbols, 0 in the padding: [N, T]."""
        strings = self._strings(int(lengths.max()))
        kinds = torch.randint(len(self.kinds), lengths.shape, generator=stream)
        drawn = strings.draw(torch.ones_like(kinds) if self.sampling == "edited" else kinds, lengths, stream)
        return self._edited(drawn, lengths, kinds == 0, stream) if self.sampling == "edited" else drawn

    def _edited(self, members: Tensor, lengths: Tensor, change: Tensor, stream: torch.Generator) -> Tensor:
        """Return strings some of which have been edited until they are no members."""
        result, strings = members.clone(), self._strings(int(lengths.max()))
        left = change.nonzero().squeeze(1)
        for _ in range(ROUNDS):
            if not len(left):
                return result
            of, ones = lengths[left], torch.ones_like(left)
            drawn = torch.nn.functional.pad(strings.draw(ones, of, stream), (0, members.shape[1] - int(of.max())))
            edits = torch.randint(1, EDITS + 1, of.shape, generator=stream)
            tried = edited(drawn, of, len(self.machine.alphabet), edits, stream)
            last = self.machine.run(tried)[1].gather(1, of[:, None] - 1).squeeze(1)
            result[left[last == 0]] = tried[last == 0]
            left = left[last != 0]
        rare = strings.draw(torch.zeros_like(left), lengths[left], stream)  # almost all strings are members
        result[left] = torch.nn.functional.pad(rare, (0, members.shape[1] - rare.shape[1]))
        return result

    def _targets(self, outputs: Tensor) -> Tensor:
        targets = self.machine.answers[outputs.clamp(min=0)]
        return targets.float() if self.answer_kind == "bits" else targets

    def _chance(self) -> float:
        """Return the accuracy of the best constant answer after the last symbol, by counting strings."""
        lengths = self.lengths_with_examples(*self.lengths)
        if not lengths:
            return 0.0
        shares = self.machine.answer_shares(lengths[-1])[torch.tensor(lengths) - 1]
        if self.sampling != "uniform":
            shares = (shares > 0).double() / (shares > 0).sum(1, keepdim=True)
        return min(float(shares.mean(0).max()), 1 - 1e-9)

    def asked_steps(self, inputs: Tensor) -> Tensor | None:
        """Return at which steps of a string [T, D] the automaton gives an answer; None: at all, or at the last."""
        if self.asks_all or self.readout == "last":
            return None
        return self.machine.run(self._numbers(inputs)[None])[1][0] != NONE

    def _numbers(self, inputs: Tensor) -> Tensor:
        return (inputs[:, None] - self.machine.symbols).abs().sum(2).argmin(1)

    @property
    def _joint(self) -> str:
        return "" if all(len(symbol) == 1 for symbol in self.machine.alphabet) else " "

    def text(self, symbols: Sequence[int]) -> str:
        """Return a string, as people write it, from the numbers of its symbols."""
        return self._joint.join(self.machine.alphabet[number] for number in symbols)

    def parse(self, text: str) -> Tensor:
        """Return the inputs [T, D] of a string; symbols of more than one character are separated by blanks."""
        words = text.split() if self._joint else [letter for letter in text if not letter.isspace()]
        known = {symbol: number for number, symbol in enumerate(self.machine.alphabet)}
        strange = [word for word in words if word not in known]
        if strange or not words:
            what = f"{strange[0][:40]!r} is no symbol" if strange else "has no symbols"
            raise ValueError(
                f"{text!r}: {what}; must be of {', '.join(self.machine.alphabet[:40])}, like {self.example}"
            )
        strings = torch.tensor([[known[word] for word in words]])
        states, outputs = self.machine.run(strings)
        if NONE in states:
            place = states[0].tolist().index(NONE)
            raise ValueError(f"{text!r}: {words[place]} cannot stand at place {place + 1}; must be like {self.example}")
        if outputs[0, -1] == NONE and self.readout == "last":
            raise ValueError(f"{text!r}: has no answer; must be like {self.example}")
        return self.machine.symbols[strings[0]]

    def write_input(self, inputs: Tensor) -> str:
        return self.text(self._numbers(inputs).tolist())

    def write_answer(self, answer: Tensor) -> str:
        if self.format.has_parts:
            return super().write_answer(answer) if answer.dim() > 1 else self.write_set(answer)
        joint = "" if all(len(name) == 1 for name in self.answer_names) else " "
        return joint.join(self.answer_names[int(number)] for number in answer.flatten())

    def write_set(self, bits: Tensor) -> str:
        """Return a set of bits [C] as people write it: the symbols that can come next, in braces."""
        return write_set(bits, self.machine.alphabet)


def _read(alphabet: Any, states: Any, symbols: Any, regex: str | None, path: str | None) -> tuple[Automaton, list[str]]:
    if regex is not None:
        return sources.from_regex(str(regex), alphabet)
    if path is not None:
        return sources.from_file(path)
    checks.require(alphabet is not None, "alphabet", alphabet, "the list of symbols, like [0, 1]")
    return from_states(alphabet, states, symbols)


def _outputs(machine: Automaton) -> int:
    """Return the logits of an answer: of sets of bits their number, of the answers 0 and 1 one, else one each."""
    if machine.answers.dim() == 2:
        return machine.answers.shape[1]
    return 1 if len(machine.answers) == 2 else len(machine.answers)


def _kinds(machine: Automaton, together: bool) -> Tensor:
    """Return the last moves of the kinds of strings that are drawn equally often, [K, S, A]; or of all together."""
    if together:
        return (machine.outputs != NONE)[None]
    return machine.outputs == torch.arange(len(machine.answers))[:, None, None]
