"""The figures and examples of the report that show what single networks do, the best in validation of each run."""

from collections.abc import Iterator

import torch

from rnn_tasks.models import Network
from rnn_tasks.report.analysis import automata, automaton_plots, inspection, inspection_plots, sums
from rnn_tasks.report.analysis.inspection import Answered
from rnn_tasks.report.analysis.sums import AnsweredSum
from rnn_tasks.report.drawing import Drawing, file_name
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.finished import FinishedRun, Missing
from rnn_tasks.report.formatting import percent
from rnn_tasks.runs.run import Run
from rnn_tasks.tasks import Memory

IMAGES = 3  # whose recognition is shown row by row
A_LIST = "[3, 1, 4, 1, 5, 9, 2, 6]"


def mnist_answers(evidence: Evidence) -> Iterator[Drawing]:
    """Draw the confusion matrix of a network, its mistakes, random images, and what it sees row by row."""
    finished = evidence.run("mnist_rnn_adam")
    run = finished.load()
    test = inspection.answer(run, inspection.concat_padded(run.task.test))
    random = inspection.answer(run, inspection.random_cases(run.task))
    yield _confusion(finished, run, test)
    yield _mistakes(finished, run, test)
    yield _random_images(finished, run, random)
    yield _row_by_row(finished, run, test, random)


def _confusion(finished: FinishedRun, run: Run, test: Answered) -> Drawing:
    counts = inspection.confusion(test.batch.targets, test.answers)
    frequent = (counts - counts.diag().diag()).flatten().topk(3).indices.tolist()
    most = ", ".join(f"{i // 10} for {i % 10}" for i in frequent)
    total = len(test.answers) - int(counts.diag().sum())
    alt = f"Confusion matrix: {total} mistakes in {len(test.answers):,} test images; the most frequent take {most}."
    caption = f"mnist_rnn_adam, network {run.replicate}: confusion matrix on the test images"
    return Drawing("confusion", "mnist", caption, alt, inspection_plots.confusion(counts), finished.path)


def _mistakes(finished: FinishedRun, run: Run, test: Answered) -> Drawing:
    wrong = inspection.mistakes(test)
    surest = f", the first with a probability of {float(test.confidences[wrong].max()):.2%}" if len(wrong) else ""
    alt = f"The test images with the most confident wrong answers{surest}."
    caption = f"mnist_rnn_adam, network {run.replicate}: its most confident mistakes"
    return Drawing("mistakes", "mnist", caption, alt, inspection_plots.answered_images(test, wrong), finished.path)


def _random_images(finished: FinishedRun, run: Run, random: Answered) -> Drawing:
    right = int((random.answers == random.batch.targets).sum())
    alt = f"16 random test images and the network's answers; {right} are right."
    caption = f"mnist_rnn_adam, network {run.replicate}: 16 random test images"
    figure = inspection_plots.answered_images(random, torch.arange(len(random.answers)))
    return Drawing("random_images", "mnist", caption, alt, figure, finished.path)


def _row_by_row(finished: FinishedRun, run: Run, test: Answered, random: Answered) -> Drawing:
    wrong = inspection.mistakes(test, 1)
    images = torch.cat((random.batch.inputs[: IMAGES - 1], test.batch.inputs[wrong]))
    digits = [*random.batch.targets[: IMAGES - 1].tolist(), *test.batch.targets[wrong].tolist()]
    alt = f"Images of {', '.join(map(str, digits))} and the probabilities of the digits after each of 28 rows."
    caption = "mnist_rnn_adam: its answer after each row, for two random images and its most confident mistake"
    figure = inspection_plots.prefix_predictions(images, run.prefix_predictions(images), digits)
    return Drawing("unfolding", "mnist", caption, alt, figure, finished.path)


def memory(selector: str, evidence: Evidence) -> Iterator[Drawing]:
    """Draw the gates of an LSTM over a list, and where the digit is stored."""
    finished = evidence.run(selector)
    run, model = _lstm(finished)
    task = inspection.task_of(run, Memory)
    problem, k, name = task.parse(A_LIST), task.k, f"{selector}, network {run.replicate}"
    gates = inspection.gates(model, problem[None])
    open_, shut = (float(gates["forget gate"][0, 0, step].mean()) for step in (k - 1, -1))
    alt = f"Gates and states as heat maps; the forget gates are at {open_:.2f} at digit {k}, {shut:.2f} at the last."
    caption = f"{name}: gates and states over the list {A_LIST}"
    figure = inspection_plots.list_gates(gates, problem.argmax(-1).tolist(), k)
    yield Drawing(f"gates_{selector}", "memory", caption, alt, figure, finished.path)
    retained = inspection.retention(run)
    last = retained.probe_accuracy[-1]
    share = "an unknown share" if last is None else percent(last)
    alt = f"A linear classifier reads the digit from the last state in {share} of the lists."
    caption = f"{name}: where number {k} of a list is stored"
    figure = inspection_plots.retention(retained, k)
    yield Drawing(f"kept_{selector}", "memory", caption, alt, figure, finished.path)


def plane(selector: str, evidence: Evidence) -> Iterator[Drawing]:
    """Plot where an LSTM of two units stores the ten digits."""
    finished = evidence.run(selector)
    run, model = _lstm(finished, hidden=2)
    lists = inspection.concat_padded([run.task.examples(1000, "report")])
    hidden, _ = inspection.last_states(run, lists)
    head = model.head["weight"][0], model.head["bias"][0]
    share = percent(finished.metric("test")[run.replicate or 0] or 0.0)
    name = f"{selector}, network {run.replicate}"
    caption = f"{name}: its output after 1,000 lists, each shown as the digit to remember; test accuracy {share}"
    alt = f"The plane of two hidden units with the ten digits and the regions of the answers; {share} are right."
    figure = inspection_plots.digit_plane(hidden, lists.targets, ("output of unit 1", "output of unit 2"), head)
    yield Drawing(f"plane_{selector}", "memory", caption, alt, figure, finished.path)


def adder(selector: str, evidence: Evidence) -> Iterator[Drawing]:
    """Draw the states of an adder, and the automaton that it runs."""
    finished = evidence.run(selector)
    run = finished.load()
    trace = automata.trace(run)
    machine, (share,) = automata.extract(trace), automata.carry_probe_accuracy(trace)
    name = f"{selector}, network {run.replicate}"
    read = "nothing" if share is None else f"the carry with {percent(share)} accuracy"
    caption = f"{name}: its states after each position of the test set, in two dimensions"
    alt = f"Scatter of states coloured by carry; a linear classifier reads {read}."
    figure = automaton_plots.rule_states(trace, "carry")
    yield Drawing(f"carries_{file_name(selector)}", "adder", caption, alt, figure, finished.path)
    right = f"on its own it adds {percent(machine.right)} of the sums right"
    caption = f"{name}: the automaton it runs, from {machine.clusters} clusters of its states; {right}"
    alt = f"An automaton of {len(machine.visits)} states that explains {percent(machine.explained)} of the steps."
    figure = automaton_plots.extracted(machine, trace.language.answer_names, "carry")
    yield Drawing(f"automaton_{file_name(selector)}", "adder", caption, alt, figure, finished.path)


def _lstm(finished: FinishedRun, hidden: int | None = None) -> tuple[Run, Network]:
    """Return the best network of a run of unidirectional LSTMs, of ``hidden`` units if that is given."""
    run = finished.load()
    model = inspection.network_of(run)
    if model.cell.name != "lstm" or len(model.directions) == 2 or (hidden and model.hidden != hidden):
        raise Missing(f"{finished.path} is no unidirectional LSTM{f' of {hidden} units' if hidden else ''}")
    return run, model


def answered_sums(run: Run) -> list[str]:
    """Plot random sums with their carries and the network's answers."""
    return [_sum(answered) for answered in sums.random_sums(run)]


def _sum(answered: AnsweredSum) -> str:
    rows = {"carry": answered.carries.replace("0", " "), "": answered.a, "+": answered.b, "=": answered.answer}
    if not answered.right:
        rows["not"] = answered.target
    return "\n".join(f"{name:>5} {digits}" for name, digits in rows.items())


def lists(run: Run) -> list[str]:
    """Plot random lists and the network's answers."""
    answered = inspection.answer(run, inspection.random_cases(run.task))
    texts = []
    for inputs, length, target, answer in zip(*answered.batch[:3], answered.answers, strict=True):
        wrong = "" if answer == target else f", not {target}"
        texts.append(f"{run.task.write_input(inputs[:length])} -> {answer}{wrong}")
    return texts
