"""Automata of networks that are known, learned from their answers, and compared with those of tasks."""

import itertools

import pytest
import torch
from helpers import composed, hand_set_adder

from rnn_tasks.config import build_task
from rnn_tasks.models import Network
from rnn_tasks.report.analysis import automata, inspection, learning
from rnn_tasks.report.analysis.dynamics import Dynamics
from rnn_tasks.report.analysis.equivalence import first_difference, shortest_mistake
from rnn_tasks.report.analysis.languages import language_of
from rnn_tasks.report.analysis.learning import Answers, learn
from rnn_tasks.tasks.automata import Automaton

SIZES = ["task.train_size=50", "task.val_size=20", "task.test_size=200"]


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def task_of(*words):
    task = build_task(composed("x", *SIZES, *words))
    task.setup()
    return task


def random_automaton(seed, states=4, holes=0.0):
    after = torch.randint(states, (states, 2), generator=stream(seed))
    outputs = torch.randint(2, (states, 2), generator=stream(seed + 1000))
    gone = torch.rand(states, 2, generator=stream(seed + 2000)) < holes
    unasked = torch.rand(states, 2, generator=stream(seed + 3000)) < holes
    outputs = outputs.masked_fill(unasked, -1)
    return Automaton(("a", "b"), after.masked_fill(gone, -1), outputs, torch.eye(2), torch.tensor([0, 1]))


def answers_differ(tables, starts, string, complete):
    """Whether an automaton gives another last answer than the rule, having got so far; brute force."""
    after_found, answers_found, after_rule, answers_rule = tables
    own, right = starts
    for place, symbol in enumerate(string):
        last, asked, answer = place == len(string) - 1, answers_rule[right][symbol], answers_found[own][symbol]
        lacking = after_found[own][symbol] == -1 or (asked != -1 and answer == -1)
        if after_rule[right][symbol] == -1 or (lacking and not last):
            return False
        if last:
            return complete if lacking else asked not in (-1, answer)
        own, right = after_found[own][symbol], after_rule[right][symbol]


@pytest.mark.parametrize("holes", [0.0, 0.2])
@pytest.mark.parametrize("complete", [True, False])
def test_the_first_difference_is_that_of_all_strings(holes, complete):
    lengths = []
    for seed in range(40):
        rule, found = random_automaton(seed, 2, holes), random_automaton(seed + 100, 3, holes)
        if seed % 4 == 0:
            found = rule
        tables = [part.tolist() for each in (found, rule) for part in (each.next_states, each.outputs)]
        strings = [list(string) for size in range(1, 8) for string in itertools.product(range(2), repeat=size)]
        wrong = [string for string in strings if answers_differ(tables, (found.start, rule.start), string, complete)]
        own = first_difference(found, rule, complete)
        assert (own is None) == (not wrong) and (own is None or (own in wrong and len(own) == len(wrong[0])))
        lengths.append(0 if own is None else len(own))
    assert {0, 1, 2} <= set(lengths)


@pytest.mark.parametrize("words", [["task=adder"], ["task=memory"], ["task=flip_flop"], ["task=embedded_reber"]])
def test_a_trace_has_the_right_answers_of_the_task(words):
    task = task_of(*words)
    language, batch = language_of(task), inspection.concat_padded(task.test)
    network = Network(task.input_size, task.output_size, task.readout, hidden=2, replicates=2)
    trace = automata.trace_of(Dynamics(network), batch, language, task.format)
    real = automata.real_steps(batch)[:, 1:]
    assert (language.symbols[trace.symbols][real] == batch.inputs[real]).all()
    asked = real if batch.asked is None else real & batch.asked
    if task.readout == "last":
        last = torch.arange(real.shape[1]) == batch.lengths[:, None] - 1
        assert (language.answers[trace.targets[last]] == batch.targets).all()
    else:
        assert ((trace.targets >= 0) == asked).all()
        assert (language.answers[trace.targets[asked]] == batch.targets[asked]).all()
        given = task.format.answers(network(batch.inputs, batch.lengths))
        assert (language.answer_numbers(given)[:, asked] == trace.answers[:, asked]).all()


def test_symbols_of_a_task_without_an_automaton_are_its_inputs():
    language = language_of(task_of("task.order=msb"))
    assert language.rule is None and language.alphabet == ("0 0", "0 1", "1 0", "1 1")
    assert language.numbers(torch.tensor([[1.0, 0.0], [2.0, 0.0]])).tolist() == [2, -1]
    assert language.answer_numbers(torch.tensor([0.0, 1.0, 5.0])).tolist() == [0, 1, 2]


def learned(run, replicate=0):
    pytest.importorskip("aalpy")
    trace = automata.trace(run)
    one = Dynamics(run.model).of_one(replicate)
    return learn(Answers(one, trace.language, run.task.format), trace, replicate), trace


def test_the_automaton_of_an_exact_adder_is_learned():
    run = hand_set_adder(1)
    machine, trace = learned(run)
    assert len(machine.next_states) == 2 and first_difference(machine, run.task.automaton) is None
    assert shortest_mistake(trace, 0) is None


def test_the_automaton_of_a_faulty_adder_makes_its_first_mistake():
    run = hand_set_adder(0)
    machine, trace = learned(run)
    string, rule = first_difference(machine, run.task.automaton), run.task.automaton
    wrong = []
    for length in (1, 2, 3):
        strings = torch.tensor([*itertools.product(range(4), repeat=length)])
        given = run.logits(rule.symbols[strings], torch.full((len(strings),), length))[..., 0] > 0
        wrong += strings[given[:, -1] != rule.run(strings)[1][:, -1]].tolist()
    assert string in wrong and len(string) == len(wrong[0]) == 2
    assert len(shortest_mistake(trace, 0)) >= len(string)


def test_steps_that_are_not_asked_or_cannot_come_are_no_part_of_a_learned_automaton():
    pytest.importorskip("aalpy")
    task = task_of("task=embedded_reber")
    language, rule = language_of(task), task.automaton
    network = Network(task.input_size, task.output_size, task.readout, cell="gru", hidden=3, init=1.0)
    answers = Answers(Dynamics(network), language, task.format)
    first = rule.possible[rule.start].nonzero()[0].item()
    never = (~rule.possible[rule.start]).nonzero()[0].item()
    assert answers.query((never, first)) == [learning.IMPOSSIBLE] * 2
    one = torch.tensor([[first]])
    (outputs,) = language.answer_numbers(task.format.answers(network(rule.symbols[one], torch.tensor([1]))[0]))
    assert answers.query((first,)) == [outputs[-1] if rule.outputs[rule.start, first] >= 0 else -1]


def test_automata_that_are_too_large_are_given_up(monkeypatch):
    monkeypatch.setattr(learning, "MOST_STATES", 1)
    assert learned(hand_set_adder(1))[0] is None
    monkeypatch.setattr(learning, "MOST_PREFIXES", 3)
    assert learned(hand_set_adder(1))[0] is None
