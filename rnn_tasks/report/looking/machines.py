"""The part of the page about automata."""

from typing import NamedTuple

from matplotlib.figure import Figure

from rnn_tasks.errors import UserError, tell
from rnn_tasks.report.analysis import automaton_plots
from rnn_tasks.report.analysis.automata import Extracted, Trace, extract
from rnn_tasks.report.analysis.equivalence import first_difference, shortest_mistake
from rnn_tasks.report.analysis.languages import Language
from rnn_tasks.report.analysis.learning import MOST_STATES, Answers, learn
from rnn_tasks.report.formatting import percent
from rnn_tasks.report.looking.subject import Drawing, Section, Subject
from rnn_tasks.report.markup import Table
from rnn_tasks.tasks.automata import Automaton

CLUSTERS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
CLUSTERED = (
    "Own: k-means clusters the states of half of the test sequences; the most frequent next clusters and answers make"
    " an automaton, which is minimised (Giles et al. 1992). It knows only what occurs in these sequences, and is called"
    " incomplete where it differs from the rule in nothing but what it lacks."
)
LEARNED = (
    "L*: the network is asked strings, and the smallest automaton that agrees with its answers is made (Angluin 1987)."
    " It is tested with the test sequences and with random strings of their greatest length; about longer ones it says"
    " nothing."
)
RULE = "Steps at which the task asks for no answer do not count."


class Machines(NamedTuple):
    """The automata of one network.

    Attributes:
        extracted: from its states.
        learned: from its answers; None if it is too large, or was not learned.
    """

    extracted: Extracted
    learned: Automaton | None


def automata_section(subject: Subject) -> Section:
    """Extract the automata of all networks, compare them with the rule of the task, and draw them.

    Raises:
        UserError: the task has not finitely many symbols, or the network answers from no single state.
    """
    trace, text = subject.trace, [CLUSTERED, LEARNED]
    if trace is None:
        raise UserError("the task has not finitely many symbols and answers, so its networks are no automata")
    if subject.run.task.readout == "last" and getattr(subject.run.model, "pooling", "last") == "mean":
        raise UserError("the networks answer from the mean of all states, so they are no automata")
    found, by_questions = [], True
    for place in range(len(subject.numbers)):
        if len(subject.numbers) > 8 and place % 8 == 0:
            tell(f"look: automata, {place} of {len(subject.numbers)}")
        machine = None
        if by_questions:
            try:
                answers = Answers(subject.dynamics.of_one(place), trace.language, subject.run.task.format)
                machine = learn(answers, trace, place)
            except UserError as reason:
                by_questions, text[1] = False, f"{LEARNED} It was left out here: {reason}."
        found.append(Machines(extract(trace, place, CLUSTERS), machine))
    table = _table(subject, trace, found, by_questions)
    if trace.language.rule is not None:
        text.append(RULE)
    return Section("Automata", text, [table], _drawings(subject, trace, found[subject.best]))


def _table(subject: Subject, trace: Trace, found: list[Machines], by_questions: bool) -> Table:
    """Return a row for each replicate: the states of its automata, and where they first differ from the rule."""
    language = trace.language
    compared = language.rule is not None
    headings = ["replicate", "own: states", "steps explained", *["is the rule", "differs after"] * compared]
    headings += ["L*: states", *["is the rule", "differs after"] * compared] * by_questions
    rows = []
    for place, (number, (extracted, learned)) in enumerate(zip(subject.numbers, found, strict=True)):
        row = [str(number), str(len(extracted.visits)), percent(extracted.explained)]
        row += _comparison(extracted.machine, language)
        if by_questions:
            row += [f"> {MOST_STATES}" if learned is None else str(len(learned.next_states))]
            row += _comparison(learned, language, shortest_mistake(trace, place))
        rows.append(row)
    if language.rule is None:
        return Table(headings, rows)
    count = len(language.rule.minimized().next_states)
    caption = f"The rule of the task has {count} states. The last columns show the shortest string with another answer."
    return Table(headings, rows, caption)


def _comparison(machine: Automaton | None, language: Language, mistake: list[int] | None = None) -> list[str]:
    """Return whether an automaton is that of the task, and the shortest string on which they differ.

    Where there is no automaton, the string is the shortest of the test to which the network gives a wrong answer.
    """
    if language.rule is None:
        return []
    difference = mistake if machine is None else first_difference(machine, language.rule)
    if difference is None:
        return ["yes" if machine else "unknown", ""]
    incomplete = machine is not None and first_difference(machine, language.rule, complete=False) is None
    return ["incomplete" if incomplete else "no", language.text(difference)]


def _drawings(subject: Subject, trace: Trace, machines: Machines) -> list[Drawing]:
    """Draw the automata of the network that is shown in detail, and that of the task."""
    language, drawings = trace.language, []
    extracted, learned = machines
    if automaton_plots.can_be_drawn(extracted.machine):
        figure = automaton_plots.extracted(extracted, language.answer_names, "rule" if language.rule else "")
        caption = f"The automaton of {subject.name}, from {extracted.clusters} clusters of its states"
        rule = " the most frequent state of the rule and" if language.rule else ""
        caption += f"; in each state{rule} the share of visits. Arrows leave out steps rarer than one in a hundred."
        drawings.append(Drawing("automaton_own", caption, figure))
    if learned is not None and automaton_plots.can_be_drawn(learned):
        caption = f"The automaton of {subject.name}, learned from its answers by L*."
        drawings.append(Drawing("automaton_lstar", caption, _plain(learned, language)))
    if language.rule is not None and automaton_plots.can_be_drawn(rule_machine := language.rule.minimized()):
        drawings.append(Drawing("automaton_rule", "The automaton of the task.", _plain(rule_machine, language)))
    return drawings


def _plain(machine: Automaton, language: Language) -> Figure:
    count = len(machine.next_states)
    names = list(map(str, range(count)))
    return automaton_plots.automaton(machine, names, language.answer_names, f"{count} state{'s' * (count > 1)}")
