"""The figures and examples of the report that show what single networks do, the best in validation of each run."""

from collections.abc import Iterator
from functools import partial

import torch

from rnn_tasks.errors import UserError
from rnn_tasks.models import Network
from rnn_tasks.report.analysis import automata, automaton_plots, inspection, inspection_plots
from rnn_tasks.report.evidence import Evidence, FinishedRun, Missing
from rnn_tasks.report.figures import FIGURES, Drawing, draws, name_of
from rnn_tasks.report.verdicts import percent
from rnn_tasks.runs.loading import Run

IMAGES = 3  # whose recognition is shown row by row
A_LIST = "[3, 1, 4, 1, 5, 9, 2, 6]"


@draws
def mnist_answers(evidence: Evidence) -> Iterator[Drawing]:
    found = evidence.run("mnist_rnn_adam")
    run = found.load()
    seen = inspection.answered(run, inspection.concat_padded(run.task.test))
    random = inspection.answered(run, inspection.random_cases(run.task))
    counts, wrong = inspection.confusion(seen.batch.targets, seen.answers), inspection.mistakes(seen)
    mistaken = (counts - counts.diag().diag()).flatten().topk(3).indices.tolist()
    most = ", ".join(f"{i // 10} for {i % 10}" for i in mistaken)
    total = len(seen.answers) - int(counts.diag().sum())
    alt = f"Confusion matrix: {total} mistakes in {len(seen.answers):,} test images; the most frequent take {most}."
    caption = f"mnist_rnn_adam, network {run.replicate}: which test digits are taken for which"
    yield Drawing("confusion", "mnist", caption, alt, inspection_plots.confusion(counts), found.path)
    surest = float(seen.confidences[wrong].max())
    alt = f"The test images with the most confident wrong answers, the first with a probability of {surest:.2%}."
    caption = f"mnist_rnn_adam, network {run.replicate}: its most confident mistakes"
    yield Drawing("mistakes", "mnist", caption, alt, inspection_plots.pictures(seen, wrong), found.path)
    right = int((random.answers == random.batch.targets).sum())
    alt = f"16 random test images and the network's answers; {right} are right."
    caption = f"mnist_rnn_adam, network {run.replicate}: 16 random test images"
    drawn = inspection_plots.pictures(random, torch.arange(len(random.answers)))
    yield Drawing("random_images", "mnist", caption, alt, drawn, found.path)
    images = torch.cat((random.batch.inputs[: IMAGES - 1], seen.batch.inputs[wrong[:1]]))
    digits = [*random.batch.targets[: IMAGES - 1].tolist(), *seen.batch.targets[wrong[:1]].tolist()]
    alt = f"Images of {', '.join(map(str, digits))} and the probabilities of the digits after each of 28 rows."
    caption = "mnist_rnn_adam: what it would answer after each row; two random images and its most confident mistake"
    drawn = inspection_plots.prefix_predictions(images, run.prefix_predictions(images), digits)
    yield Drawing("unfolding", "mnist", caption, alt, drawn, found.path)


def memory(words: str, evidence: Evidence) -> Iterator[Drawing]:
    """The gates of an LSTM over a list, and where the digit is kept."""
    found = evidence.run(words)
    run = _lstm(found)
    problem = run.task.parse(A_LIST)
    gates, k = inspection.gates(run.model, problem[None]), run.task.k
    caption = f"{words}, network {run.replicate}: gates and states over the list {A_LIST}"
    open_, shut = (float(gates.forget[0, 0, step].mean()) for step in (k - 1, -1))
    alt = f"Gates and states as heat maps; the forget gates are at {open_:.2f} at digit {k}, {shut:.2f} at the last."
    drawn = inspection_plots.gates(gates, problem.argmax(-1).tolist(), k)
    yield Drawing(f"gates_{words}", "memory", caption, alt, drawn, found.path)
    kept = inspection.kept(run)
    caption = f"{words}, network {run.replicate}: where number {k} of a list is kept"
    alt = f"A linear classifier reads the digit from the last state in {percent(kept.read_out[-1])} of the lists."
    yield Drawing(f"kept_{words}", "memory", caption, alt, inspection_plots.kept(kept, k), found.path)


def plane(words: str, evidence: Evidence) -> Iterator[Drawing]:
    """Where an LSTM of two units keeps the ten digits."""
    found = evidence.run(words)
    run = _lstm(found, hidden=2)
    lists = run.task.examples(1000, "report")
    hidden, _ = inspection.last_states(run, lists)
    head = run.model.head["weight"][0], run.model.head["bias"][0]
    share = percent(found.metric("test")[run.replicate])
    what = f"{words}, network {run.replicate}"
    caption = f"{what}: its output after 1,000 lists, each shown as the digit to remember; {share} of the test is right"
    alt = f"The plane of two hidden units with the ten digits and the regions of the answers; {share} are right."
    drawn = inspection_plots.digit_plane(hidden, lists.targets, ("output of unit 1", "output of unit 2"), head)
    yield Drawing(f"plane_{words}", "memory", caption, alt, drawn, found.path)


def adder(words: str, evidence: Evidence) -> Iterator[Drawing]:
    """The states of an adder, and the automaton that it runs."""
    found = evidence.run(words)
    run = _network(found)
    sums = automata.sums(run)
    machine, (share,) = automata.extract(sums), automata.carry_probe_accuracy(sums)
    caption = f"{words}, network {run.replicate}: its states after all positions of the test set, in two dimensions"
    alt = f"Scatter of states coloured by carry; a linear classifier tells the carry in {percent(share)}."
    yield Drawing(f"carries_{name_of(words)}", "adder", caption, alt, automaton_plots.carries(sums), found.path)
    right = f"alone it adds {percent(machine.right)} of the sums right"
    caption = f"{words}, network {run.replicate}: the automaton it runs, from {machine.clusters} clusters; {right}"
    alt = f"An automaton of {len(machine.successor)} states that explains {percent(machine.explained)} of the steps."
    drawn = automaton_plots.automaton(machine)
    yield Drawing(f"automaton_{name_of(words)}", "adder", caption, alt, drawn, found.path)


FIGURES += [
    *(partial(plane, words) for words in ("memory_hidden2", "memory_two_units")),
    *(partial(memory, words) for words in ("memory_two_units", "memory_hidden5", "memory_hidden10")),
    *(
        partial(adder, words)
        for words in ("adder_hidden model.hidden=3", "adder_hidden model.hidden=5", "adder_length5")
    ),
]


def _network(found: FinishedRun) -> Run:
    run = found.load()
    if not isinstance(run.model, Network):
        raise Missing(f"{found.path} has a model of its own, whose states are not known")
    return run


def _lstm(found: FinishedRun, hidden: int | None = None) -> Run:
    run = _network(found)
    if (
        run.model.cell.name != "lstm"
        or len(run.model.directions) == 2
        or run.model.hidden != (hidden or run.model.hidden)
    ):
        raise Missing(f"{found.path} is no LSTM{f' of {hidden} units' if hidden else ''}")
    return run


def examples(evidence: Evidence) -> tuple[dict[str, tuple[str, list[str]]], list[str]]:
    """Random problems and what the best networks answer, by part a caption and texts; and what is missing."""
    found, missing = {}, []
    for part, (caption, words, write) in EXAMPLES.items():
        try:
            found[part] = caption, write(evidence.run(words).load())
        except UserError as reason:
            missing.append(str(reason))
    return found, missing


def _sums(run: Run) -> list[str]:
    return [_sum(**one) for one in automata.random_sums(run)]


def _sum(a: str, b: str, carries: str, answer: str, truth: str, right: bool) -> str:
    rows = {"carry": carries.replace("0", " "), "": a, "+": b, "=": answer}
    if not right:
        rows["not"] = truth
    return "\n".join(f"{name:>5} {digits}" for name, digits in rows.items())


def _lists(run: Run) -> list[str]:
    said, found = inspection.answered(run, inspection.random_cases(run.task)), []
    for inputs, length, truth, answer in zip(*said.batch, said.answers, strict=True):
        wrong = "" if answer == truth else f", not {truth}"
        found.append(f"{run.task.write_input(inputs[:length])} -> {answer}{wrong}")
    return found


EXAMPLES = {
    "memory": ("16 random lists of all lengths: memory_hidden10", "memory_hidden10", _lists),
    "adder": ("16 random sums with their carries: adder_hidden, 5 units", "adder_hidden model.hidden=5", _sums),
}
