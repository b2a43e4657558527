"""What networks do inside, on networks whose inside is known."""

import io
from pathlib import Path

import pytest
import torch

from rnn_tasks.models import Network
from rnn_tasks.models.recurrence import read
from rnn_tasks.report.analysis import automata, automaton_plots, inspection, inspection_plots
from rnn_tasks.runs.loading import Run
from rnn_tasks.tasks import Adder, Batch, Memory
from rnn_tasks.tasks.answers import answers

SIZES = {"batch_size": 1, "data_seed": 0, "train_size": 1, "val_size": 1, "test_size": 400}


def run_of(task, model):
    return Run(Path(), None, task, model, 0, [False], None)


def adder(third=1.0):
    """An RNN that adds: its units say whether bits and carry make at least 1, 2 and 3; the second is the carry.

    ``third`` is the weight of the third unit in the answer; with 0 it does not know that 1 + 1 and a carry is 1.
    """
    model = Network(2, 1, "every_step", cell="rnn", hidden=3)
    weights = {"weight_ih": [[1, 1]] * 3, "weight_hh": [[0, 0.5, 0]] * 3, "bias_ih": [-0.25, -1.25, -2.25]}
    with torch.no_grad():
        for name, value in weights.items():
            model.recurrent[f"{name}_l0"][0] = 60 * torch.tensor(value, dtype=torch.float)
        model.recurrent["bias_hh_l0"].zero_()
        model.head["weight"][0] = torch.tensor([[1, -1, third]])
        model.head["bias"].fill_(-0.1)
    return run_of(Adder(name="adder", lengths=(1, 6), **SIZES), model)


def memory(hidden=2, cell="lstm"):
    return run_of(
        Memory(name="memory", lengths=(3, 6), **SIZES), Network(10, 10, "last", cell=cell, hidden=hidden, init=1.0)
    )


def drawn(figure):
    """The figure's texts, after it has been drawn."""
    figure.savefig(io.BytesIO(), dpi=40)
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_gates_reproduce_the_outputs_of_the_network():
    model = Network(3, 2, "every_step", cell="lstm", hidden=4, layers=2, replicates=3, init=1.0)
    inputs = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0))
    found = inspection.gates(model, inputs)
    expected = model(inputs, torch.full((5,), 7), return_states=True)[1]
    torch.testing.assert_close(found.hidden, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.hidden, found.output * found.cell.tanh())
    change = found.cell[:, :, 1:] - found.forget[:, :, 1:] * found.cell[:, :, :-1]
    assert (change.abs() <= found.input[:, :, 1:] + 1e-6).all()  # the candidate is in ±1
    states = inspection.states(model, inputs, torch.full((5,), 7))
    torch.testing.assert_close(states, torch.cat((found.hidden, found.cell), -1))


def test_an_exact_adder_is_the_automaton_of_two_states():
    found = automata.sums(adder())
    machine = automata.extract(found)
    zero, one = machine.start, 1 - machine.start
    assert machine.successor[[zero, one]].tolist() == [[zero, zero, one], [zero, one, one]]
    assert machine.output[[zero, one]].tolist() == [[0, 1, 0], [1, 0, 1]]
    assert machine.carries[[zero, one]].tolist() == [0, 1]
    assert machine.fitted == machine.explained == machine.right == 1
    assert machine.counts.sum() == found.real[::2, 1:].sum()
    assert machine.visits.sum() == pytest.approx(1)
    assert automata.carry_probe_accuracy(found) == [1]


def test_the_automaton_of_a_faulty_adder_makes_its_mistakes():
    run = adder(third=0)
    found = automata.sums(run)
    machine = automata.extract(found)
    assert machine.output[1 - machine.start].tolist() == [1, 0, 0]
    right = (found.answers[0] == found.targets) | ~found.real[:, 1:]
    assert machine.right == pytest.approx(right[1::2].all(1).double().mean())
    assert 0 < machine.right < 1
    assert machine.explained == automata.carry_probe_accuracy(found)[0] == 1


def test_what_is_no_automaton_is_not_explained():
    model = Network(2, 1, "every_step", cell="lstm", hidden=2, init=2.0, replicates=2)
    run = Run(Path(), None, adder().task, model, None, [False, False], None)
    found = automata.sums(run)
    assert len(automata.extract(found).counts) == 1  # its answers are all the same: one state explains that
    model.head["bias"].data -= run.logits(found.ones[..., None].expand(-1, -1, 2), found.real.sum(1) - 1).mean()
    found = automata.sums(run)
    assert found.states.shape[::3] == (2, 4)
    assert automata.extract(found, 1).explained < 1
    model.recurrent["bias_ih_l0"].data[0] = torch.nan
    first, second = automata.carry_probe_accuracy(automata.sums(run))
    assert first is None
    assert second > 0.5


def test_minimal_joins_states_that_do_the_same():
    successor = torch.tensor([[0, 2, 1], [2, 1, 3], [0, 0, 3], [0, 3, 1]])  # 2 does as 0 does, 3 as 1
    output = torch.tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0], [1, 0, 1]])
    a, b, c, d = automata.minimal(successor, output).tolist()
    assert a == c != b == d
    output[3, 0] = 0  # now 3 differs by its answer, so 2 differs from 0 by a successor
    assert len(automata.minimal(successor, output).unique()) == 4


@pytest.mark.parametrize("order", ["lsb", "msb"])
def test_random_sums_are_sums(order):
    run = adder()
    run.task.order = order
    told = automata.random_sums(run)
    assert len(told) == 16
    for one in told:
        a, b, carries, truth, answer = (int(one[key], 2) for key in ("a", "b", "carries", "truth", "answer"))
        assert a + b == truth
        assert a ^ b ^ carries == truth
        assert one["right"] == (answer == truth)
        assert order == "msb" or one["right"]


def test_information_is_that_of_the_answers_not_their_rightness():
    truth = torch.arange(10).repeat(30)
    assert inspection.mutual_information(truth, truth) == pytest.approx(torch.tensor(10.0).log2())
    assert inspection.mutual_information(truth, (truth + 1) % 10) == pytest.approx(torch.tensor(10.0).log2())
    assert inspection.mutual_information(truth, truth // 5) == pytest.approx(1)
    assert inspection.mutual_information(truth, torch.arange(300) // 30) == pytest.approx(0, abs=1e-9)


def test_where_a_digit_is_kept():
    digits = torch.arange(10).repeat(20)
    noise = torch.arange(200) // 10 % 2
    values = torch.stack((digits**2, noise, (digits % 2) + noise), 1).double()
    assert inspection.eta_squared(values, digits).tolist() == pytest.approx([1, 0, 0.5])
    run = memory(hidden=5)
    found = inspection.kept(run, size=200)
    assert found.hidden.shape == found.cell.shape == (4, 5)
    assert found.read_out[0] > 0.9  # it has only just been read
    assert found.read_out[0] > found.read_out[-1]
    drawn(inspection_plots.kept(found, run.task.k))


def test_lists_of_every_length_and_their_last_states():
    run = memory()
    run.task.setup()
    batch = inspection.random_cases(run.task, 12)
    assert batch.lengths.tolist() == [3] * 3 + [4] * 3 + [5] * 3 + [6] * 3
    hidden, cell = inspection.last_states(run, batch)
    assert cell.shape == (12, 2)
    logits = read(hidden[None], run.model.head["weight"], run.model.head["bias"])[0]
    found = inspection.answered(run, batch)
    assert (answers(logits) == found.answers).all()
    head = tuple(run.model.head[name][0].detach() for name in ("weight", "bias"))
    assert {str(int(digit)) for digit in batch.targets} <= set(
        drawn(inspection_plots.digit_plane(hidden, batch.targets, ("a", "b"), head))
    )
    drawn(
        inspection_plots.gates(inspection.gates(run.model, batch.inputs[-1:]), batch.inputs[-1].argmax(-1).tolist(), 3)
    )


@pytest.mark.parametrize("bidirectional", [False, True])
def test_unfolding_is_what_the_steps_so_far_say(bidirectional):
    model = Network(28, 10, "last", cell="rnn", hidden=6, bidirectional=bidirectional)
    run = run_of(None, model)
    images = torch.rand(2, 28, 28, generator=torch.Generator().manual_seed(0))
    found = run.prefix_predictions(images)
    whole = run.logits(images, torch.tensor([28, 28])).softmax(-1)
    torch.testing.assert_close(found[:, -1], whole)
    changed = images.clone()
    changed[:, 20:] = 0
    torch.testing.assert_close(run.prefix_predictions(changed)[:, :20], found[:, :20])
    if not bidirectional:
        states = model(images, torch.tensor([28, 28]), return_states=True)[1]
        torch.testing.assert_close(found, read(states, model.head["weight"], model.head["bias"])[0].softmax(-1))
    drawn(inspection_plots.prefix_predictions(images, found, torch.tensor([3, 4])))


def test_mistakes_and_which_for_which():
    truth, said = torch.tensor([0, 1, 1, 2, 2]), torch.tensor([0, 2, 1, 1, 0])
    batch = Batch(torch.zeros(5, 28, 28), torch.full((5,), 28), truth)
    found = inspection.Answered(batch, said, torch.tensor([0.9, 0.5, 0.9, 0.7, 0.8]))
    assert inspection.mistakes(found).tolist() == [4, 3, 1]
    assert inspection.mistakes(found, 1).tolist() == [4]
    assert inspection.confusion(truth, said, 3).tolist() == [[1, 0, 0], [0, 1, 1], [1, 1, 0]]
    assert sorted(drawn(inspection_plots.confusion(inspection.confusion(truth, said)))) == ["1"] * 5
    figure = inspection_plots.pictures(found, torch.tensor([0, 4]))
    drawn(figure)
    assert [axes.get_title() for axes in figure.axes] == ["0 (90.0%)", "0 (80.0%)\ntruth: 2", "", ""]


def test_an_automaton_is_drawn_as_a_graph_or_a_table():
    found = automata.sums(adder())
    machine = automata.extract(found)
    texts = drawn(automaton_plots.automaton(machine))
    for text in ("0+0 → 0\n0+1 → 1", "1+1 → 0", "0+1 → 0\n1+1 → 1", "0+0 → 1"):
        assert text in texts
    assert sum(text.startswith("start\ncarry 0\n") for text in texts) == 1
    three = machine._replace(
        **{key: torch.cat((value, value[:1])) for key, value in machine._asdict().items() if torch.is_tensor(value)}
    )
    figure = automaton_plots.automaton(three)
    drawn(figure)
    cells = figure.axes[0].tables[0].get_celld()
    assert len(cells) == 3 * 4 + 3
    drawn(automaton_plots.carries(found))
