"""Show examples of a task: ``python -m rnn_tasks.show task=adder``."""

from typing import Any

from rnn_tasks import config
from rnn_tasks.arguments import command, parser

EXAMPLES = 5


@command
def main() -> None:
    """Print five training examples, as people write them and as the network sees them, and the accuracy of guessing."""
    words = parser(__doc__)
    words.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for train, like task=memory")
    task = config.build_task(config.compose(words.parse_args().overrides))
    task.setup()
    print(f"{task.name}: {(type(task).__doc__ or type(task).__name__).splitlines()[0]}\n")
    for number in range(min(EXAMPLES, len(task.train))):
        print(example(task, number), end="\n\n")
    print(f"chance: {task.chance_accuracy:.2%} of the answers")


def example(task: Any, number: int) -> str:
    """Return a training example of a task: the problem and its answer, then a line for each step.

    Args:
        task: a rnn_tasks.tasks.Task that has been set up.
        number: the example's, counted from 0.
    """
    inputs, length, targets = task.train[number]
    answer = targets if targets.dim() == 0 else targets[:length]
    lines = [f"{task.write_input(inputs[:length])} -> {task.write_answer(answer)}"]
    for step, features in enumerate(inputs[:length].tolist()):
        values = " ".join(f"{value:.2f}".rstrip("0").rstrip(".") for value in features)
        lines.append(f"  step {step}: {values}" + (f" -> {targets[step]:.0f}" if targets.dim() else ""))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
