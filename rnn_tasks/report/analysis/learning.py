"""The automaton of a network, learned from its answers by L* (Angluin 1987) with AALpy (Muškardin et al. 2022)."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rnn_tasks.errors import UserError
from rnn_tasks.report.analysis.automata import Trace
from rnn_tasks.report.analysis.dynamics import Dynamics
from rnn_tasks.report.analysis.languages import Language
from rnn_tasks.seeds import generator
from rnn_tasks.tasks.answers import AnswerFormat
from rnn_tasks.tasks.automata import NONE, Automaton

if TYPE_CHECKING:
    from aalpy.base import Oracle

IMPOSSIBLE = -2  # the output of a symbol that cannot come by the rule, and of all that follow
PADDING = -3  # in the outputs of tests
WALKS = 300  # random strings with which a hypothesis is tested, as long as the longest of the test set
MOST_STATES = 64  # of a hypothesis
MOST_PREFIXES = 2000  # strings whose continuations are asked


class TooLarge(Exception):
    """The automaton has more states than are learned."""


class Answers:
    """What one network answers to strings; strings with the same beginning are computed once.

    Args:
        dynamics: of one network.
        language: of its task.
        form: of its answers.
    """

    def __init__(self, dynamics: Dynamics, language: Language, form: AnswerFormat) -> None:
        self.dynamics, self.language, self.form = dynamics, language, form
        self.after: dict[tuple[int, ...], tuple[Tensor, list[int]]] = {}  # states [A, S] and answers after each symbol
        rule = language.rule
        self.rule = None if rule is None else (rule.next_states.tolist(), rule.outputs.tolist(), rule.start)

    @torch.inference_mode()
    def continuations(self, prefix: tuple[int, ...]) -> tuple[Tensor, list[int]]:
        """Return the states [A, S] and the numbers of the answers after a prefix and each of the symbols.

        Raises:
            TooLarge: too many prefixes were asked.
        """
        if prefix not in self.after:
            if len(self.after) >= MOST_PREFIXES:
                raise TooLarge
            before = torch.zeros(self.dynamics.size).double()
            if prefix:
                before = self.continuations(prefix[:-1])[0][prefix[-1]]
            states = self.dynamics.step(before.expand(1, len(self.language.symbols), -1), self.language.symbols)
            given = self.language.answer_numbers(self.form.answers(self.dynamics.logits(states)))
            self.after[prefix] = states[0], given[0].tolist()
        return self.after[prefix]

    def query(self, string: tuple[int, ...]) -> list[int]:
        """Return the number of the answer after each symbol; -1 where the rule asks for none, see also IMPOSSIBLE."""
        outputs = [self.continuations(string[:number])[1][symbol] for number, symbol in enumerate(string)]
        if self.rule is None:
            return outputs
        next_states, asked, state = self.rule
        for number, symbol in enumerate(string):
            after = next_states[state][symbol]
            if after == NONE:
                return outputs[:number] + [IMPOSSIBLE] * (len(string) - number)
            if asked[state][symbol] == NONE:
                outputs[number] = NONE
            state = after
        return outputs


def learn(answers: Answers, trace: Trace, replicate: int) -> Automaton | None:
    """Return the smallest automaton that answers as a network does, as far as tests tell; None if it is too large.

    A hypothesis is tested with the strings of the trace and with random walks, all in one batch.

    Raises:
        UserError: AALpy is not installed.
    """
    if not find_spec("aalpy"):
        raise UserError("the package aalpy is not installed; pip install '.[look]'")
    from aalpy.base import SUL
    from aalpy.learning_algs import run_Lstar

    class Network(SUL):
        def query(self, word: tuple[int, ...]) -> list[int]:
            return answers.query(word)

        def pre(self) -> None: ...
        def post(self) -> None: ...
        def step(self, letter: Any) -> Any: ...

    alphabet, network = list(range(len(answers.language.alphabet))), Network()
    oracle = _oracle(alphabet, network, answers, _tests(answers, trace, replicate))
    try:
        machine = run_Lstar(alphabet, network, oracle, "mealy", cache_and_non_det_check=False, print_level=0)
    except TooLarge:
        return None
    return _as_automaton(machine, answers.language)


def _oracle(alphabet: list[int], network: Any, answers: Answers, tests: tuple[Tensor, Tensor]) -> "Oracle":
    from aalpy.base import Oracle

    strings, outputs = tests

    class Tests(Oracle):
        def find_cex(self, hypothesis: Any) -> tuple[int, ...] | None:
            if len(hypothesis.states) > MOST_STATES:
                raise TooLarge
            next_states, own, start = _tables(hypothesis, len(alphabet))
            state = torch.full((len(strings),), start)
            differ = torch.zeros(strings.shape, dtype=torch.bool)
            for t, symbol in enumerate(strings.T):
                differ[:, t] = own[state, symbol] != outputs[:, t]
                state = next_states[state, symbol]
            differ &= outputs != PADDING
            if not differ.any():
                return None
            first = torch.where(differ.any(1), differ.int().argmax(1), strings.shape[1])
            return tuple(strings[first.argmin(), : first.min() + 1].tolist())

    return Tests(alphabet, network)


@torch.inference_mode()
def _tests(answers: Answers, trace: Trace, replicate: int) -> tuple[Tensor, Tensor]:
    """Return the strings of a trace and random ones, [N, T], and what a network answers to them, [N, T]."""
    language, given = trace.language, trace.answers[replicate].masked_fill(~trace.real[:, 1:], PADDING)
    walks = _walks(language, given.shape[1])
    states = answers.dynamics.trajectories(language.symbols[walks])[:, :, 1:]
    outputs = language.answer_numbers(answers.form.answers(answers.dynamics.logits(states.flatten(1, 2))))
    outputs = outputs.view_as(walks)
    if language.rule is not None:
        reached, asked = language.rule.run(walks)
        outputs = outputs.masked_fill(asked == NONE, NONE).masked_fill(reached == NONE, IMPOSSIBLE)
    return torch.cat((trace.symbols, walks)), torch.cat((given, outputs))


def _walks(language: Language, length: int) -> Tensor:
    """Return random strings [N, T], of symbols that can come by the rule as long as there are any."""
    stream, rule = generator("walks"), language.rule
    if rule is None:
        return torch.randint(len(language.alphabet), (WALKS, length), generator=stream)
    state, steps = torch.full((WALKS,), rule.start), []
    for _ in range(length):
        possible = (rule.possible[state] & (state != NONE)[:, None]).double()
        weights = torch.where(possible.any(1, keepdim=True), possible, 1.0)
        symbol = torch.multinomial(weights, 1, generator=stream).squeeze(1)
        state = torch.where(state == NONE, NONE, rule.next_states[state, symbol])
        steps.append(symbol)
    return torch.stack(steps, 1)


def _tables(machine: Any, symbols: int) -> tuple[Tensor, Tensor, int]:
    """Return the next states and outputs of an automaton of AALpy's, [S, A] each, and the number of its start."""
    numbers = {state.state_id: number for number, state in enumerate(machine.states)}
    after = [[numbers[state.transitions[a].state_id] for a in range(symbols)] for state in machine.states]
    outputs = [[state.output_fun[a] for a in range(symbols)] for state in machine.states]
    return torch.tensor(after), torch.tensor(outputs), numbers[machine.initial_state.state_id]


def _as_automaton(machine: Any, language: Language) -> Automaton:
    """Return an automaton of AALpy's as one of this project; symbols that cannot come lead nowhere."""
    after, outputs, start = _tables(machine, len(language.alphabet))
    impossible = outputs == IMPOSSIBLE
    after, outputs = after.masked_fill(impossible, NONE), outputs.masked_fill(impossible, NONE)
    return language.automaton(after, outputs, start).minimized()
