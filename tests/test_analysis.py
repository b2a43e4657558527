"""What networks do inside, on networks whose inside is known."""

import io
import math
from pathlib import Path

import pytest
import torch
from helpers import hand_set_adder
from sklearn.metrics import mutual_info_score

from rnn_tasks.errors import UserError
from rnn_tasks.models import Network
from rnn_tasks.models.recurrence import read
from rnn_tasks.report.analysis import automata, automaton_plots, inspection, inspection_plots, sums
from rnn_tasks.runs.run import Run
from rnn_tasks.tasks import Batch, Memory
from rnn_tasks.tasks.answers import answers

SIZES = {"batch_size": 1, "data_seed": 0, "train_size": 1, "val_size": 1, "test_size": 400}


def run_of(task, model):
    return Run(Path(), None, task, model, 0, [False], None)


def memory(hidden=2, cell="lstm"):
    return run_of(
        Memory(name="memory", lengths=(3, 6), **SIZES), Network(10, 10, "last", cell=cell, hidden=hidden, init=1.0)
    )


def drawn(figure):
    """The figure's texts, after it has been drawn."""
    figure.savefig(io.BytesIO(), dpi=40)
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_gates_reproduce_the_outputs_of_the_network(cell):
    model = Network(3, 2, "every_step", cell=cell, hidden=4, layers=2, replicates=3, init=1.0)
    inputs = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0))
    found = inspection.gates(model, inputs)
    expected = model.states(inputs, torch.full((5,), 7))[:, -1]
    torch.testing.assert_close(found["output"], expected, atol=1e-5, rtol=0)
    assert all((value >= 0).all() and (value <= 1).all() for name, value in found.items() if name.endswith("gate"))
    states = inspection.states(model, inputs, torch.full((5,), 7))
    if cell == "gru":  # h = (1 - z) n + z h', with a candidate n in ±1
        change = found["output"][:, :, 1:] - found["update gate"][:, :, 1:] * found["output"][:, :, :-1]
        assert (change.abs() <= 1 - found["update gate"][:, :, 1:] + 1e-6).all()
    if cell == "lstm":
        torch.testing.assert_close(found["output"], found["output gate"] * found["cell state"].tanh())
        change = found["cell state"][:, :, 1:] - found["forget gate"][:, :, 1:] * found["cell state"][:, :, :-1]
        assert (change.abs() <= found["input gate"][:, :, 1:] + 1e-6).all()  # the candidate is in ±1
        torch.testing.assert_close(states, torch.cat((found["output"], found["cell state"]), -1))
    else:
        torch.testing.assert_close(states, found["output"], atol=1e-5, rtol=0)


def test_an_exact_adder_is_the_automaton_of_two_states():
    trace = automata.trace(hand_set_adder(1))
    found = automata.extract(trace)
    machine, zero, one = found.machine, found.machine.start, 1 - found.machine.start
    assert machine.next_states[[zero, one]].tolist() == [[zero, zero, zero, one], [zero, one, one, one]]
    assert machine.outputs[[zero, one]].tolist() == [[0, 1, 1, 0], [1, 0, 0, 1]]
    assert found.rule_states[[zero, one]].tolist() == [0, 1]
    assert found.fitted == found.explained == found.right == 1
    assert found.counts.sum() == trace.real[::2, 1:].sum()
    assert found.visits.sum() == pytest.approx(1)
    assert automata.carry_probe_accuracy(trace) == [1]


def test_the_automaton_of_a_faulty_adder_makes_its_mistakes():
    run = hand_set_adder(0)
    trace = automata.trace(run)
    found = automata.extract(trace)
    assert found.machine.outputs[1 - found.machine.start].tolist() == [1, 0, 0, 0]
    right = (trace.answers[0] == trace.targets) | ~trace.real[:, 1:]
    assert found.right == pytest.approx(right[1::2].all(1).double().mean())
    assert 0 < found.right < 1
    assert found.explained == automata.carry_probe_accuracy(trace)[0] == 1


def test_networks_that_are_no_automaton_are_not_explained():
    model = Network(2, 1, "every_step", cell="lstm", hidden=2, init=2.0, replicates=2)
    run = Run(Path(), None, hand_set_adder(1).task, model, None, [False, False], None)
    trace = automata.trace(run)
    assert len(automata.extract(trace).counts) == 1  # its answers are all the same: one state explains that
    model.head["bias"].data -= run.logits(trace.language.symbols[trace.symbols], trace.real.sum(1) - 1).mean((1, 2))
    trace = automata.trace(run)
    assert trace.states.shape[::3] == (2, 4)
    assert automata.extract(trace, 1).fitted < 1
    model.recurrent["bias_ih_l0"].data[0] = torch.nan
    first, second = automata.carry_probe_accuracy(automata.trace(run))
    assert first is None
    assert second > 0.5


def test_minimal_merges_equivalent_states():
    successor = torch.tensor([[0, 2, 1], [2, 1, 3], [0, 0, 3], [0, 3, 1]])  # 2 does as 0 does, 3 as 1
    output = torch.tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0], [1, 0, 1]])
    a, b, c, d = automata.minimal(successor, output).tolist()
    assert a == c != b == d
    output[3, 0] = 0  # now 3 differs by its answer, so 2 differs from 0 by a successor
    assert len(automata.minimal(successor, output).unique()) == 4


@pytest.mark.parametrize("order", ["lsb", "msb"])
def test_random_sums_are_sums(order):
    run = hand_set_adder(1)
    run.task.order = order
    found = sums.random_sums(run)
    assert len(found) == 16
    for each in found:
        a, b, carries, target, answer = (
            int(digits, 2) for digits in (each.a, each.b, each.carries, each.target, each.answer)
        )
        assert a + b == target
        assert a ^ b ^ carries == target
        assert each.right == (answer == target)
        assert order == "msb" or each.right


def test_mutual_information_counts_what_answers_tell_not_whether_they_are_right():
    truth = torch.arange(10).repeat(30)
    assert inspection.mutual_information(truth, truth) == pytest.approx(torch.tensor(10.0).log2())
    assert inspection.mutual_information(truth, (truth + 1) % 10) == pytest.approx(torch.tensor(10.0).log2())
    assert inspection.mutual_information(truth, truth // 5) == pytest.approx(1)
    assert inspection.mutual_information(truth, torch.arange(300) // 30) == pytest.approx(0, abs=1e-9)
    stream = torch.Generator().manual_seed(0)
    targets, answers = (torch.randint(10, (200,), generator=stream) for _ in range(2))
    expected = mutual_info_score(targets, answers) / math.log(2)
    assert inspection.mutual_information(targets, answers) == pytest.approx(expected)


def test_eta_squared_and_retention_of_a_digit():
    digits = torch.arange(10).repeat(20)
    noise = torch.arange(200) // 10 % 2
    values = torch.stack((digits**2, noise, (digits % 2) + noise), 1).double()
    assert inspection.eta_squared(values, digits).tolist() == pytest.approx([1, 0, 0.5])
    run = memory(hidden=5)
    retained = inspection.retention(run, size=200)
    assert retained.hidden.shape == retained.cell.shape == (4, 5)
    assert retained.probe_accuracy[0] > 0.9  # the digit was the last input
    assert retained.probe_accuracy[0] > retained.probe_accuracy[-1]
    drawn(inspection_plots.retention(retained, run.task.k))


def test_random_cases_have_every_length_and_last_states_give_their_answers():
    run = memory()
    run.task.setup()
    batch = inspection.random_cases(run.task, 12)
    assert batch.lengths.tolist() == [3] * 3 + [4] * 3 + [5] * 3 + [6] * 3
    hidden, cell = inspection.last_states(run, batch)
    assert cell.shape == (12, 2)
    logits = read(hidden[None], run.model.head["weight"], run.model.head["bias"])[0]
    answered = inspection.answer(run, batch)
    assert (answers(logits) == answered.answers).all()
    head = tuple(run.model.head[name][0].detach() for name in ("weight", "bias"))
    assert {str(int(digit)) for digit in batch.targets} <= set(
        drawn(inspection_plots.digit_plane(hidden, batch.targets, ("a", "b"), head))
    )
    drawn(
        inspection_plots.list_gates(
            inspection.gates(run.model, batch.inputs[-1:]), batch.inputs[-1].argmax(-1).tolist(), 3
        )
    )


@pytest.mark.parametrize("bidirectional", [False, True])
def test_prefix_predictions_are_the_answers_to_the_steps_so_far(bidirectional):
    model = Network(28, 10, "last", cell="rnn", hidden=6, bidirectional=bidirectional)
    run = run_of(None, model)
    images = torch.rand(2, 28, 28, generator=torch.Generator().manual_seed(0))
    predictions = run.prefix_predictions(images)
    full = run.logits(images, torch.tensor([28, 28])).softmax(-1)
    torch.testing.assert_close(predictions[:, -1], full)
    changed = images.clone()
    changed[:, 20:] = 0
    torch.testing.assert_close(run.prefix_predictions(changed)[:, :20], predictions[:, :20])
    if not bidirectional:
        states = model.states(images, torch.tensor([28, 28]))[:, -1]
        torch.testing.assert_close(predictions, read(states, model.head["weight"], model.head["bias"])[0].softmax(-1))
    drawn(inspection_plots.prefix_predictions(images, predictions, [3, 4]))


def test_prefix_predictions_of_a_bit_are_the_probabilities_of_0_and_1():
    run = run_of(None, Network(1, 1, "last", cell="gru", hidden=3))
    predictions = run.prefix_predictions(inputs := torch.rand(2, 5, 1))
    torch.testing.assert_close(predictions[:, -1, 1], run.logits(inputs, torch.tensor([5, 5]))[:, 0].sigmoid())
    torch.testing.assert_close(predictions.sum(-1), torch.ones(2, 5))


def test_prefix_predictions_are_refused_where_every_step_has_an_answer():
    run = run_of(None, Network(1, 1, "every_step", cell="gru", hidden=3))
    with pytest.raises(ValueError, match="an answer at every step"):
        run.prefix_predictions(torch.rand(2, 5, 1))


def test_analyses_of_other_models_and_tasks_are_refused():
    run = run_of(memory().task, torch.nn.Identity())
    with pytest.raises(UserError, match="the states of its model, Identity, are not known; give a run of Network"):
        inspection.retention(run)
    with pytest.raises(UserError, match="is a run of adder; give one of memory"):
        inspection.retention(hand_set_adder(1))


def test_mistakes_and_confusion_matrix():
    truth, given = torch.tensor([0, 1, 1, 2, 2]), torch.tensor([0, 2, 1, 1, 0])
    batch = Batch(torch.zeros(5, 28, 28), torch.full((5,), 28), truth)
    answered = inspection.Answered(batch, given, torch.tensor([0.9, 0.5, 0.9, 0.7, 0.8]))
    assert inspection.mistakes(answered).tolist() == [4, 3, 1]
    assert inspection.mistakes(answered, 1).tolist() == [4]
    assert inspection.confusion(truth, given, 3).tolist() == [[1, 0, 0], [0, 1, 1], [1, 1, 0]]
    assert sorted(drawn(inspection_plots.confusion(inspection.confusion(truth, given)))) == ["1"] * 5
    figure = inspection_plots.answered_images(answered, torch.tensor([0, 4]))
    drawn(figure)
    assert [axes.get_title() for axes in figure.axes] == ["0 (90.0%)", "0 (80.0%)\ntruth: 2", "", ""]


def test_an_automaton_is_drawn_as_a_graph_or_a_table():
    trace = automata.trace(hand_set_adder(1))
    found = automata.extract(trace)
    texts = drawn(automaton_plots.extracted(found, trace.language.answer_names, "carry"))
    for text in ("00 → 0\n01, 10 → 1", "11 → 0", "01, 10 → 0\n11 → 1", "00 → 1"):
        assert text in texts
    assert sum(text.startswith("start\ncarry 0\n") for text in texts) == 1
    task = Memory(name="memory", lengths=(3, 6), **SIZES)
    names = list(map(str, range(13)))
    figure = automaton_plots.automaton(task.automaton, names, names, "13 states")
    texts = drawn(figure)
    assert len(texts) == task.automaton.possible.sum() == 130
    assert texts[:10] == ["→ 1"] * 10 and "7 → 10" in texts
    drawn(automaton_plots.rule_states(trace, "carry"))
