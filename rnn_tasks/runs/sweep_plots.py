"""The picture of a sweep: how many networks solve the task, how well they do, and after how many steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_tasks.runs.arrangement import Arrangement, arrange
from rnn_tasks.runs.plots import COLORS, MARKERS, styled
from rnn_tasks.runs.settings import Setting, count_states
from rnn_tasks.runs.solving import Network, count_solved
from rnn_tasks.runs.sweep_maps import maps
from rnn_tasks.runs.sweep_panels import QUANTITIES, Quantity, label, scale_numbers, scale_values


@styled
def picture(settings: Sequence[Setting]) -> Figure | None:
    """Draw the settings of a sweep: as curves over a swept number, as maps over two, else by their names.

    Intervals are 95 % intervals of shares (Wilson 1927) and means, and from the first to the third quartile of steps.

    Returns:
        None if no run has finished.
    """
    if not any(setting.networks for setting in settings):
        return None
    arrangement = arrange(settings)
    draw = (_by_name, _curves, maps)[len(arrangement.axes)]
    figure = draw(arrangement)
    figure.suptitle("\n".join(_notes(settings, arrangement)), fontsize="small")
    return figure


def _notes(settings: Sequence[Setting], arrangement: Arrangement) -> list[str]:
    """Return what a reader must know of the numbers of a picture."""
    counts = [len(each.networks) for group in arrangement.groups.values() for each in group.values() if each.networks]
    low, high = min(counts, default=0), max(counts, default=0)
    several = f"{low} to {high}" if low < high else f"{high}"
    first = f"{several} network{'s' * (high > 1)} each"
    if len(arrangement.axes) < 2 and high > 1:
        first += "; 95 % intervals of shares and means, quartiles of the steps of those that solve it"
    rows = [row for setting in settings for row in setting.rows]
    notes = [first]
    if rows[0].bar < 1:
        notes.append(f"solved: at least {rows[0].bar * 100:g} % of the sequences right")
    if arrangement.pooled:
        notes.append(f"pooled over {', '.join(arrangement.pooled)}")
    if arrangement.left_out:
        notes.append(f"{arrangement.left_out} more settings are in summary.csv")
    if any(row.state != "done" for row in rows):
        notes.append(f"{len(rows)} runs: {count_states(rows)}")
    return [label(note) for note in notes]


def _curves(arrangement: Arrangement) -> Figure:
    """Draw each quantity over a number, a line for each group."""
    figure = Figure(figsize=(6.6, 8.2), layout="constrained")
    panels = figure.subplots(3, 1, sharex=True)
    for axes, quantity in zip(panels, QUANTITIES, strict=True):
        for i, (name, points) in enumerate(arrangement.groups.items()):
            _curve(axes, quantity, {place[0]: setting.networks for place, setting in points.items()}, name, i)
        scale_values(axes, quantity)
        axes.margins(x=0.08)
    if len(arrangement.groups) == 1:
        for place, setting in next(iter(arrangement.groups.values())).items():
            at = {"ha": "center", "transform": panels[-1].get_xaxis_transform()}
            panels[-1].text(place[0], 0.03, unsolved(setting.networks), fontsize="small", **at)
    scale_numbers(panels[-1], "x", sorted({place[0] for points in arrangement.groups.values() for place in points}))
    panels[-1].set_xlabel(label(arrangement.axes[0]))
    handles, labels = panels[0].get_legend_handles_labels()
    if any(labels):
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize="small")
    return figure


def _curve(axes: Axes, quantity: Quantity, points: Mapping[float, list[Network]], name: str, number: int) -> None:
    estimates = {x: estimate for x, networks in points.items() if (estimate := quantity.estimate(networks))}
    color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
    middle, low, high = ([each[i] for each in estimates.values()] for i in range(3))
    line = ("-", "--")[number % 2]
    axes.plot(list(estimates), middle, color=color, marker=marker, markersize=5, linestyle=line, label=label(name))
    axes.fill_between(list(estimates), low, high, color=color, alpha=0.15, linewidth=0)
    best = {x: value for x, networks in points.items() if (value := quantity.best(networks)) is not None}
    axes.plot(list(best), list(best.values()), marker, color=color, markersize=8, markerfacecolor="none")


def _by_name(arrangement: Arrangement) -> Figure:
    """Draw each quantity of each group as a point with its interval, a row for each."""
    names = list(arrangement.groups)
    figure = Figure(figsize=(12.5, 1.7 + 0.3 * len(names)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for axes, quantity in zip(panels, QUANTITIES, strict=True):
        for i, name in enumerate(names):
            _bar(axes, quantity, arrangement.groups[name][()], i)
        scale_values(axes, quantity, "x")
    panels[0].set_yticks(range(len(names)), [label(name) for name in names])
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    return figure


def _bar(axes: Axes, quantity: Quantity, setting: Setting, row: int) -> None:
    estimate, best = quantity.estimate(setting.networks), quantity.best(setting.networks)
    if estimate:
        ends = ([max(0.0, estimate.value - estimate.low)], [max(0.0, estimate.high - estimate.value)])
        axes.errorbar([estimate.value], [row], xerr=ends, fmt="o", markersize=5, capsize=3, color=COLORS[0])
    if best is not None:
        axes.plot([best], [row], "o", markersize=9, color=COLORS[0], markerfacecolor="none")
    if not setting.networks or not quantity.is_share:
        text = unsolved(setting.networks) if setting.networks else setting.rows[0].state
        axes.text(1.01, row, text, va="center", fontsize="small", transform=axes.get_yaxis_transform())


def unsolved(networks: Sequence[Network]) -> str:
    """Return how many networks have not solved the task, like "4 never"; nothing if none is known."""
    solved, count = count_solved(networks)
    return f"{count - solved} never" if count else ""
