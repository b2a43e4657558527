"""Whether two automata give the same answers."""

from collections import deque

from rnn_tasks.report.analysis.automata import Trace
from rnn_tasks.tasks.automata import NONE, Automaton


def first_difference(found: Automaton, rule: Automaton, complete: bool = True) -> list[int] | None:
    """Return the shortest string after which an automaton gives another answer than the rule; None if there is none.

    Only strings that can come by the rule count, and only steps at which the rule has an answer. The search goes
    through the pairs of states that a string leads to, breadth first (Hopcroft and Karp 1971).

    Args:
        found: an automaton with the same symbols and numbers of answers as the rule.
        rule: gives the right answers.
        complete: whether a step or an answer that the automaton lacks is a difference; else all that follows is passed
            over.
    """
    tables = [table.tolist() for table in (found.next_states, found.outputs, rule.next_states, rule.outputs)]
    next_found, answers_found, next_rule, answers_rule = tables
    start = (found.start, rule.start)
    strings: dict[tuple[int, int], list[int]] = {start: []}
    waiting = deque([start])
    while waiting:
        own, right = pair = waiting.popleft()
        for symbol in range(len(rule.alphabet)):
            if next_rule[right][symbol] == NONE:
                continue
            string, asked = [*strings[pair], symbol], answers_rule[right][symbol]
            lacking = NONE in (next_found[own][symbol], *[answers_found[own][symbol]] * (asked != NONE))
            if complete if lacking else asked not in (NONE, answers_found[own][symbol]):
                return string
            after = next_found[own][symbol], next_rule[right][symbol]
            if not lacking and after not in strings:
                strings[after] = string
                waiting.append(after)
    return None


def shortest_mistake(trace: Trace, replicate: int) -> list[int] | None:
    """Return the shortest string of a trace to which a network gives a wrong answer; None if all are right."""
    wrong = (trace.answers[replicate] != trace.targets) & (trace.targets != NONE)
    if not wrong.any():
        return None
    step, number = min((step, number) for number, step in wrong.nonzero().tolist())
    string: list[int] = trace.symbols[number, : step + 1].tolist()
    return string
