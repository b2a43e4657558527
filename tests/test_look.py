"""Looking inside networks: dynamics whose fixed points, gradients and automata are known, and the command."""

import hashlib
import io
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import SMALL, composed, hand_set_adder, trained

from rnn_tasks import runs
from rnn_tasks.config import build_task
from rnn_tasks.errors import UserError
from rnn_tasks.models import Crnn, Network
from rnn_tasks.models.cells import cell
from rnn_tasks.report.analysis import automata, inspection, learning, phase_plots
from rnn_tasks.report.analysis.dynamics import Dynamics
from rnn_tasks.report.analysis.equivalence import first_difference, shortest_mistake
from rnn_tasks.report.analysis.fixed_points import find_points, settle, slowest
from rnn_tasks.report.analysis.lags import gradient_by_lag
from rnn_tasks.report.analysis.languages import language_of
from rnn_tasks.report.analysis.learning import Answers, learn
from rnn_tasks.report.analysis.logged import logged_curves
from rnn_tasks.report.analysis.portraits import NOWHERE, basins, view_of
from rnn_tasks.report.looking import machines, page
from rnn_tasks.report.looking.subject import Subject
from rnn_tasks.tasks import Task
from rnn_tasks.tasks.automata import Automaton
from rnn_tasks.training.callbacks import participation_ratio

SIZES = ["task.train_size=50", "task.val_size=20", "task.test_size=200"]


@cell(gates=2)
def leaky(pre, state):
    rate, candidate = pre.chunk(2, 1)
    state = state + rate.sigmoid() * (candidate.tanh() - state)
    return state.sin(), state


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def one_unit(recurrent, replicates=1):
    """Networks h = tanh(w h), which do not look at their one input."""
    network = Network(1, 1, "every_step", cell="rnn", hidden=1, replicates=replicates)
    for name, parameter in network.recurrent.items():
        parameter.data.fill_(0.0 if name != "weight_hh_l0" else 1.0)
    network.recurrent["weight_hh_l0"].data *= torch.tensor(recurrent).view(-1, 1, 1)
    return Dynamics(network)


def task_of(*words):
    task = build_task(composed("x", *SIZES, *words))
    task.setup()
    return task


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm", f"{__name__}.leaky"])
def test_states_of_the_dynamics_are_those_of_the_network(kind):
    network = Network(3, 2, "every_step", cell=kind, hidden=4, layers=2, replicates=3, init=1.0)
    inputs, lengths = torch.randn(5, 7, 3, generator=stream()), torch.full((5,), 7)
    dynamics = Dynamics(network, [0, 2])
    states = dynamics.trajectories(inputs)
    assert states.shape == (2, 5, 8, 2 * 4 * dynamics.parts) and not states[:, :, 0].any()
    expected = network.states(inputs, lengths)[[0, 2]]
    places = states[:, :, 1:].unflatten(-1, (2, dynamics.parts, 4))[..., 0, :].movedim(3, 1)  # h of each layer
    torch.testing.assert_close(places.float(), expected, atol=1e-5, rtol=0)
    logits = dynamics.logits(states[:, :, 1:].flatten(1, 2)).view(2, 5, 7, 2)
    torch.testing.assert_close(logits.float(), network(inputs, lengths)[[0, 2]], atol=1e-5, rtol=0)
    torch.testing.assert_close(dynamics.of_one(1).trajectories(inputs), states[1:])


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm", f"{__name__}.leaky"])
def test_jacobians_are_those_of_autograd(kind):
    network = Network(2, 1, "every_step", cell=kind, hidden=3, layers=2, replicates=2, init=1.5)
    dynamics, inputs = Dynamics(network), torch.randn(4, 2, generator=stream())
    states = torch.randn(2, 4, dynamics.size, generator=stream(1)).double()
    after, found = dynamics.jacobians(states, inputs)
    torch.testing.assert_close(after, dynamics.step(states, inputs))
    for r, n in itertools.product(range(2), range(4)):
        one = dynamics.of_one(r)
        expected = torch.autograd.functional.jacobian(
            lambda state, one=one, n=n: one.step(state[None, None], inputs[n : n + 1])[0, 0], states[r, n]
        )
        torch.testing.assert_close(found[r, n], expected)


def test_networks_without_a_map_of_states_are_refused():
    with pytest.raises(ValueError, match="also reads from the end"):
        Dynamics(Network(1, 1, "every_step", bidirectional=True))
    with pytest.raises(ValueError, match="convolutions over several steps"):
        Dynamics(Crnn(8, [2], output_size=2, readout="last"))


def test_fixed_points_of_one_unit_are_those_of_the_closed_form():
    dynamics = one_unit([2.0, 0.5, -2.0], 3)
    visited = torch.linspace(-1, 1, 50).double().view(1, 50, 1).expand(3, -1, -1)
    bistable, single, cycle = (points for (points,) in find_points(dynamics, visited, torch.zeros(1, 1)))
    end = 0.5
    for _ in range(200):
        end = math.tanh(2 * end)
    assert bistable.kinds == ["stable", "stable", "unstable"]
    assert bistable.states.flatten().tolist() == pytest.approx([-end, end, 0], abs=1e-9)
    assert bistable.eigenvalues.flatten().tolist() == pytest.approx([2 * (1 - end**2)] * 2 + [2])
    assert bistable.largest == pytest.approx(2)
    assert (single.kinds, single.largest) == (["stable"], pytest.approx(0.5))
    assert (cycle.kinds, cycle.largest) == (["unstable"], pytest.approx(2))


def test_saddles_and_their_eigenvalues_in_two_units():
    network = Network(1, 1, "every_step", cell="rnn", hidden=2)
    for name, parameter in network.recurrent.items():
        parameter.data.copy_(torch.diag(torch.tensor([2.0, 0.5])) if name == "weight_hh_l0" else torch.tensor(0.0))
    visited = torch.rand(1, 60, 2, generator=stream()).double() * 2 - 1
    ((points,),) = find_points(Dynamics(network), visited, torch.zeros(1, 1))
    assert points.kinds == ["stable", "stable", "saddle"]
    assert points.states[2].tolist() == pytest.approx([0, 0], abs=1e-9)
    assert points.eigenvalues[2].real.tolist() == pytest.approx([2, 0.5])


def test_a_slow_point_is_where_the_speed_is_least():
    dynamics = one_unit([1.5])
    dynamics.weights = [(*dynamics.weights[0][:2], dynamics.weights[0][2] + 0.22, dynamics.weights[0][3])]
    places = torch.linspace(-0.9, -0.2, 100_000).double()
    speeds = (dynamics.step(places[None, :, None], torch.zeros(1)) - places[None, :, None]).abs().flatten()
    least = int(speeds.argmin())
    assert 1e-3 < speeds[least] < 0.05
    states, found = slowest(dynamics, places[None, ::10_000, None], torch.zeros(10, 1))
    near = (states.flatten() < 0).nonzero().flatten()  # the others came to the stable point
    assert len(near) and states.flatten()[near].tolist() == pytest.approx([float(places[least])] * len(near), abs=1e-3)
    assert found[0, near].tolist() == pytest.approx([float(speeds[least])] * len(near), rel=1e-6)
    visited = torch.cat((places[None, ::1000, None], torch.full((1, 300, 1), 5.0).double()), 1)
    ((points,),) = find_points(dynamics, visited, torch.zeros(1, 1))
    assert points.kinds == ["stable", "slow"] and not points.largest > 1


def test_basins_are_those_of_the_nearest_stable_point_and_cycles_have_none():
    for weight, expected in ((2.0, [0, 0, 1, 1]), (-2.0, [NOWHERE] * 4)):
        dynamics, places = one_unit([weight]), torch.tensor([-0.9, -0.1, 0.1, 0.9]).double().view(1, 4, 1)
        ((points,),) = find_points(dynamics, places, torch.zeros(1, 1))
        ends = settle(dynamics, places, torch.zeros(4, 1))[0]
        assert basins(ends, points, torch.tensor([[-1.0], [1.0]])).tolist() == expected


def test_participation_ratio_is_that_of_the_covariance_matrix():
    states = torch.randn(2, 500, 4, generator=stream()) * torch.tensor([3.0, 1.0, 1.0, 0.1])
    for own, found in zip(states.numpy(), participation_ratio(states).tolist(), strict=True):
        covariance = np.cov(own.T)
        assert found == pytest.approx(np.trace(covariance) ** 2 / np.trace(covariance @ covariance))
    line = torch.randn(1, 100, 1, generator=stream()) * torch.tensor([1.0, -2.0, 0.5])
    assert participation_ratio(line + 7).item() == pytest.approx(1)
    assert participation_ratio(torch.ones(1, 5, 3)).isnan().all()


@pytest.mark.parametrize("readout", ["every_step", "last"])
def test_gradients_by_lag_are_those_of_single_inputs(readout):
    network = Network(3, 2, readout, cell="gru", hidden=4, replicates=2, init=1.0).double()
    inputs, lengths = torch.randn(2, 5, 3, generator=stream()).double(), torch.tensor([5])
    found = gradient_by_lag(network, inputs)
    for r, lag in itertools.product(range(2), range(5)):
        norms = []
        for sequence in inputs:

            def answer(x, sequence=sequence, lag=lag, r=r):
                changed = torch.cat((sequence[: 4 - lag], x[None], sequence[5 - lag :]))
                logits = network(changed[None], lengths)[r, 0]
                return logits[-1] if readout == "every_step" else logits

            norms.append(torch.autograd.functional.jacobian(answer, sequence[4 - lag]).norm().item())
        assert found[r, lag].item() == pytest.approx(sum(norms) / len(norms))


def random_automaton(seed, states=4, holes=0.0):
    after = torch.randint(states, (states, 2), generator=stream(seed))
    outputs = torch.randint(2, (states, 2), generator=stream(seed + 1000))
    gone = torch.rand(states, 2, generator=stream(seed + 2000)) < holes
    unasked = torch.rand(states, 2, generator=stream(seed + 3000)) < holes
    outputs = outputs.masked_fill(unasked, -1)
    return Automaton(("a", "b"), after.masked_fill(gone, -1), outputs, torch.eye(2), torch.tensor([0, 1]))


def answers_differ(found, rule, string):
    """Whether the last answer differs, or the automaton has no such step where the rule has one."""
    (states,), (right,) = rule.run(torch.tensor([string]))
    own_states, own = (part[0] for part in found.run(torch.tensor([string])))
    return bool(states[-1] != -1 and (own_states[-1] == -1 or (right[-1] != -1 and own[-1] != right[-1])))


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


class Noise(Task):
    """Inputs that are numbers."""

    input_size, output_size, readout = 1, 1, "last"

    def draw(self, lengths, stream):
        inputs = torch.randn(len(lengths), int(lengths.max()), 1, generator=stream)
        return inputs, (inputs.sum((1, 2)) > 0).float()


def test_a_task_of_numbers_has_no_symbols():
    task = Noise(name="noise", batch_size=1, data_seed=0, train_size=50, val_size=2, test_size=2, lengths=(2, 3))
    task.setup()
    assert language_of(task) is None


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


@pytest.mark.parametrize(
    ("kind", "hidden", "whole"),
    [("rnn", 2, True), ("lstm", 1, True), ("lstm", 2, True), ("gru", 3, False), ("rnn", 1, None)],
)
def test_portraits_are_drawn_for_states_of_every_dimension(kind, hidden, whole):
    network = Network(2, 1, "every_step", cell=kind, hidden=hidden, replicates=2, init=1.0)
    dynamics, inputs = Dynamics(network), torch.eye(2)
    visited = dynamics.trajectories(torch.randn(20, 6, 2, generator=stream()))[:, :, 1:].flatten(1, 2)
    found = find_points(dynamics, visited, inputs)
    networks = [
        phase_plots.Inside(str(r), dynamics.of_one(r), visited[r], inputs, ["a", "b"], found[r]) for r in range(2)
    ]
    if whole is not None:
        view = view_of(networks[0].dynamics, visited[0])
        assert view.whole == whole
        if whole:
            places = visited[0, :, -2:] if kind == "lstm" and hidden == 2 else visited[0]
            torch.testing.assert_close(view.plane.project(visited[0]), places)
            torch.testing.assert_close(view.plane.project(view.lift(places)), places)
    for figure in (
        phase_plots.portraits(networks[0]),
        phase_plots.all_replicates(networks),
        phase_plots.eigenvalues(networks[1]),
    ):
        figure.savefig(io.BytesIO(), dpi=30)


def content(directory):
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest()) for path in files}


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    place = tmp_path_factory.mktemp("look")
    words = ["model.hidden=2", "model.replicates=3", "callbacks=[participation]", "task.test_size=60"]
    trained(place / "run", *words)
    return place / "run"


def test_places_that_a_look_must_not_write_to_are_refused(workplace, small_run, call):
    Path("file").write_text("", encoding="utf-8")
    for place, reason in (
        (small_run / "look", "is in the directory of the run"),
        (small_run, "is in the directory of the run"),
        (Path("file"), "is a file"),
    ):
        status, _, told = call("look", str(small_run), "--to", str(place))
        assert status == 2 and reason in told and len(told.splitlines()) == 1
    assert call("look", "nothing")[0] == 2


def test_event_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "events.out.tfevents.1").mkdir()
    with pytest.raises(UserError, match="are no ordinary files"):
        logged_curves(tmp_path, ("participation",))


def test_a_task_without_symbols_is_looked_at_without_automata(workplace):
    task = Noise(name="noise", batch_size=1, data_seed=0, train_size=50, val_size=2, test_size=40, lengths=(2, 6))
    run = hand_set_adder(1)
    run.task, run.model = task, Network(1, 1, "last", cell="lstm", hidden=2)
    run.config = composed("x")
    titles = [section.title for section in page.write(run, 0, Path("page"))]
    assert titles == ["Replicates", "Fixed points", "One example"]
    assert "not finitely many symbols" in Path("page/index.html").read_text(encoding="utf-8")


def test_mean_pooling_makes_no_automaton(workplace):
    run = hand_set_adder(1)
    run.task = task_of("task=memory")
    run.model = Network(10, 10, "last", cell="rnn", hidden=2, pooling="mean")
    with pytest.raises(UserError, match="from the mean of all states"):
        machines.automata_section(Subject.of(run, 0))


@pytest.mark.slow
def test_a_flip_flop_of_three_bits_has_eight_stable_points(workplace):
    words = ["task=flip_flop", "model.hidden=16", "model.replicates=2", "task.train_size=3000", "optimizer.lr=0.01"]
    trained(Path("run"), *SMALL[1:2], *words, "trainer.max_epochs=6")
    run = runs.load("run", "best", "all")
    subject = Subject.of(run, 0)
    found = find_points(subject.dynamics, subject.visited, torch.zeros(1, 3))
    solved = [share == 1 for share in run.result["metrics"]["test"]["sequence_accuracy"]]
    assert any(solved)
    for (points,), own, dynamics in zip(found, solved, (subject.dynamics.of_one(r) for r in range(2)), strict=True):
        if own:
            stable = points.of_kind("stable")
            assert len(stable) == 8
            assert len({tuple(bits) for bits in (dynamics.logits(stable[None])[0] > 0).tolist()}) == 8
