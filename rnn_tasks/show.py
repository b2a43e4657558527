"""Show what a task asks: ``python -m rnn_tasks.show task=adder``."""

from rnn_tasks import config
from rnn_tasks.arguments import command, parser

EXAMPLES = 5


@command
def main() -> None:
    """Print five training examples, as people write them and as the network sees them, and what guessing reaches."""
    command_line = parser(__doc__)
    command_line.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for training, like task=memory")
    cfg = config.compose(command_line.parse_args().overrides)

    task = config.build_task(cfg)
    task.setup()
    print(f"{task.name}: {type(task).__doc__.splitlines()[0]}\n")
    for number in range(min(EXAMPLES, len(task.train))):
        inputs, lengths, targets = task.train[number]
        inputs = inputs[:lengths]
        answer = targets if targets.dim() == 0 else targets[:lengths]
        print(f"{task.write_input(inputs)} -> {task.write_answer(answer)}")
        for step, features in enumerate(inputs.tolist()):
            seen = " ".join(f"{value:.2f}".rstrip("0").rstrip(".") for value in features)
            asked = f" -> {targets[step]:.0f}" if targets.dim() else ""
            print(f"  step {step}: {seen}{asked}")
        print()
    print(f"chance: {task.chance_accuracy:.2%} of the answers")


if __name__ == "__main__":
    main()
