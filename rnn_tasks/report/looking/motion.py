"""The part of the page about fixed points."""

from collections.abc import Sequence

from rnn_tasks.report.analysis import phase_plots
from rnn_tasks.report.analysis.fixed_points import KINDS, SETTLING, Points, find_points
from rnn_tasks.report.analysis.phase_plots import MOST_PANELS, Inside
from rnn_tasks.report.analysis.portraits import view_of
from rnn_tasks.report.looking.subject import Drawing, Section, Subject
from rnn_tasks.report.markup import Table
from rnn_tasks.runs.plots import literal

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
    labels = list(map(literal, names))
    found = find_points(subject.dynamics, subject.visited, inputs)
    networks = [
        Inside(f"{number}", subject.dynamics.of_one(place), subject.visited[place], inputs, labels, found[place])
        for place, number in enumerate(subject.numbers)
    ]
    return Section("Fixed points", [TEXT], [_table(subject, found)], _drawings(subject, networks))


def _table(subject: Subject, found: list[list[Points]]) -> Table:
    """Return a row for each replicate: the points of each kind under each input, and the largest eigenvalue."""
    names, rows = subject.constant_inputs[1], []
    for number, points in zip(subject.numbers, found, strict=True):
        counts = [" ".join(str(each.kinds.count(kind)) for each in points) for kind in KINDS]
        largest = max((each.largest for each in points if each.largest is not None), default=None)
        rows.append([str(number), *counts, "" if largest is None else f"{largest:.3f}"])
    inputs = f"input {names[0]}" if len(names) == 1 else f"each of the inputs {', '.join(names)}, in this order"
    caption = f"Points under {inputs}, and the largest absolute eigenvalue of all fixed points."
    return Table(["replicate", *(HEADINGS[kind] for kind in KINDS), "largest |eigenvalue|"], rows, caption)


def _drawings(subject: Subject, networks: Sequence[Inside]) -> list[Drawing]:
    best = networks[subject.best]
    drawings = [Drawing("portraits", _portraits_caption(subject), phase_plots.portraits(best))]
    if len(networks) > 1:
        shown = "all replicates" if len(networks) <= MOST_PANELS else f"the first {MOST_PANELS} replicates"
        axes = "with the next output over the output" if subject.dynamics.size == 1 else "each in a plane of its own"
        drawings.append(Drawing("replicates", f"Points of {shown}, {axes}.", phase_plots.all_replicates(networks)))
    caption = f"Eigenvalues at the points of {subject.name}. Outside of the circle they repel."
    return [*drawings, Drawing("eigenvalues", caption, phase_plots.eigenvalues(best))]


def _portraits_caption(subject: Subject) -> str:
    """Return what there is to see in the phase portraits."""
    about = f"Phase portraits of {subject.name}. Dark dots: states over test sequences."
    basins = f"Colours: which states come to which stable point; grey: to none within {SETTLING} steps."
    if subject.dynamics.size == 1:
        return f"{about} The line is the next output over the output. {basins}"
    view = view_of(subject.dynamics.of_one(subject.best), subject.visited[subject.best])
    if not view.whole:
        return f"{about} Lines: what becomes of states half-way between visited ones."
    outputs = "" if view.gates is None else " Outputs are taken as the mean output gate times tanh of the cell states."
    return f"{about} Arrows: the next step (short ones are drawn longer). {basins}{outputs}"
