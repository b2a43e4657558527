"""The part of the page about fixed points."""

from collections.abc import Sequence

from rnn_tasks.report.analysis import phase_plots
from rnn_tasks.report.analysis.fixed_points import KINDS, SETTLING, Points, find_points
from rnn_tasks.report.analysis.phase_plots import MOST_PANELS, Inside
from rnn_tasks.report.looking.subject import Drawing, Section, Subject
from rnn_tasks.report.markup import Table

HEADINGS = {"stable": "stable", "saddle": "saddles", "unstable": "unstable", "slow": "slow"}
TEXT = (
    "A fixed point is a state that a network keeps while its input stays the same. A stable one attracts the states"
    " around it (all eigenvalues of the Jacobian matrix lie within the unit circle), a saddle attracts them in some"
    " directions and repels them in others, an unstable one repels them in all. At a slow point states move, but at"
    " less than a hundredth of the usual speed. The search minimises the speed from many visited states (Sussillo and"
    " Barak 2013); it may miss saddles, and how many slow points it finds depends on how many states it begins with."
)


def points_section(subject: Subject) -> Section:
    """Find the fixed points of all networks, and draw them.

    Raises:
        UserError: the states of the network do not follow from the state before and the input alone.
    """
    inputs, names = subject.constant_inputs
    found = find_points(subject.dynamics, subject.visited, inputs)
    networks = [
        Inside(f"{number}", subject.dynamics.of_one(place), subject.visited[place], inputs, names, found[place])
        for place, number in enumerate(subject.numbers)
    ]
    return Section("Fixed points", [TEXT], [_table(subject, found)], _drawings(subject, networks))


def _table(subject: Subject, found: list[list[Points]]) -> Table:
    """Return a row for each replicate: the points of each kind under each input, and the largest eigenvalue."""
    _, names = subject.constant_inputs
    rows = []
    for number, points in zip(subject.numbers, found, strict=True):
        counts = [" ".join(str(each.kinds.count(kind)) for each in points) for kind in KINDS]
        largest = max((each.largest for each in points if each.largest is not None), default=None)
        rows.append([str(number), *counts, "" if largest is None else f"{largest:.3f}"])
    inputs = f"input {names[0]}" if len(names) == 1 else f"each of the inputs {', '.join(names)}, in this order"
    caption = f"Points under {inputs}, and the largest absolute eigenvalue of all fixed points."
    return Table(["replicate", *(HEADINGS[kind] for kind in KINDS), "largest |eigenvalue|"], rows, caption)


def _drawings(subject: Subject, networks: Sequence[Inside]) -> list[Drawing]:
    best, two = networks[subject.best], subject.dynamics.size <= 2
    lstm = subject.dynamics.cell.name == "lstm" and subject.dynamics.size == 4
    field = "Arrows show the next step (short ones are drawn longer), colours the states that come to a stable point."
    paths = "Lines show what becomes of states half-way between visited ones."
    caption = f"Phase portraits of {subject.name}. Grey: states over test sequences. {field if two or lstm else paths}"
    if lstm:
        caption += " The outputs are taken to be tanh of the cell states times the mean output gate."
    if two or lstm:
        caption += f" Where the plane is grey, none is reached in {SETTLING} steps."
    drawings = [Drawing("portraits", caption, phase_plots.portraits(best))]
    if len(networks) > 1:
        shown = "all replicates" if len(networks) <= MOST_PANELS else f"the first {MOST_PANELS} replicates"
        axes = "with the next output over the output" if subject.dynamics.size == 1 else "each in a plane of its own"
        drawings.append(Drawing("replicates", f"Points of {shown}, {axes}.", phase_plots.all_replicates(networks)))
    caption = f"Eigenvalues at the points of {subject.name}. Outside of the circle they repel."
    return [*drawings, Drawing("eigenvalues", caption, phase_plots.eigenvalues(best))]
