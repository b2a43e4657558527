"""What the report consists of: its rules, figures, examples and tables."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rnn_tasks.report import figures, network_figures, network_rules, robustness, rules
from rnn_tasks.report.drawing import Draw
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.figures import ADDER, BOTH_LOSSES, MEMORY, MNIST
from rnn_tasks.report.judgement import Judgement
from rnn_tasks.report.markup import Table
from rnn_tasks.runs.run import Run

Rule = Callable[..., Judgement]  # takes the evidence, a selector of a run, and the arguments of a claim

RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        rules.accuracy,
        rules.loss_vanishes,
        rules.loss_stays,
        rules.settles,
        rules.falls_cleanly,
        rules.rises_early,
        rules.no_overfitting,
        rules.swap,
        rules.best_model,
        rules.best_setting,
        rules.can_be_done,
        rules.increases,
        rules.quicker,
        rules.quicker_with,
        rules.same_speed,
        rules.more_accurate,
        rules.more_often_perfect,
        network_rules.random_cases,
        network_rules.other_handwriting,
        network_rules.nearer_distribution,
        network_rules.basic_errors,
        network_rules.bits_passed,
        network_rules.more_information,
        network_rules.any_length,
        network_rules.carries,
    )
}

FIGURES: tuple[Draw, ...] = (  # in the order in which they stand in their parts
    *(partial(figures.loss, "mnist", selector) for selector in MNIST),
    *(partial(figures.loss, "memory", selector) for selector in (*MEMORY, "memory_two_units")),
    *(partial(figures.loss, "adder", selector) for selector in (*ADDER, *BOTH_LOSSES, "adder_length5")),
    figures.memory_by_length,
    figures.memory_by_size,
    figures.adder_by_length,
    figures.adder_survival,
    figures.adder_length5,
    figures.adder_loss,
    figures.adder_batch_size,
    figures.adder_loss_batch_size,
    figures.adder_rates,
    network_figures.mnist_answers,
    *(partial(network_figures.plane, selector) for selector in ("memory_hidden2", "memory_two_units")),
    *(
        partial(network_figures.memory, selector)
        for selector in ("memory_two_units", "memory_hidden5", "memory_hidden10")
    ),
    *(partial(network_figures.adder, selector) for selector in (*ADDER[1:], "adder_length5")),
    robustness.figures,
)


@dataclass(frozen=True)
class Examples:
    """Random problems that the best network of a run answers.

    Attributes:
        part: of the report.
        caption: what there is to see.
        selector: of the run.
        write: gives the texts.
    """

    part: str
    caption: str
    selector: str
    write: Callable[[Run], list[str]]


EXAMPLES = (
    Examples("memory", "16 random lists of all lengths: memory_hidden10", "memory_hidden10", network_figures.lists),
    Examples(
        "adder", "16 random sums with their carries: adder_hidden, 5 units", ADDER[2], network_figures.answered_sums
    ),
)

TABLES: dict[str, Callable[[Evidence], tuple[list[Table], list[str]]]] = {robustness.PART: robustness.tables}
