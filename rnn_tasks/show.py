"""Show examples of a task: ``python -m rnn_tasks.show task=adder``."""

import os
from argparse import Namespace
from typing import Any

from omegaconf import DictConfig

from rnn_tasks import config, runs
from rnn_tasks.arguments import add_trust, command, parser
from rnn_tasks.errors import UserError, printable

EXAMPLES, STEPS = 5, 30  # and steps of each that are shown one by one


def arguments() -> Namespace:
    """Build the parser of the command line."""
    command_line = parser(__doc__)
    help = "as for train, like task=memory; or a single run directory, latest, or the name of a task"
    command_line.add_argument("words", nargs="*", metavar="KEY=VALUE", help=help)
    command_line.add_argument("--config-dir", "-cd", metavar="DIR", help="a directory with configurations of your own")
    add_trust(command_line)
    return command_line.parse_args()


def _configuration(chosen: Namespace) -> DictConfig:
    """Return the configuration of a run, or the one that the overrides make."""
    if len(chosen.words) == 1 and ("=" not in chosen.words[0] or os.path.exists(chosen.words[0])):
        run = runs.find(chosen.words[0])
        if run is None:
            raise UserError(f"{chosen.words[0]}: neither a run nor of the form key=value; task=memory chooses a task")
        return runs.read_config(run, chosen.trust)
    if chosen.config_dir and not os.path.isdir(chosen.config_dir):
        raise UserError(f"--config-dir {chosen.config_dir}: no such directory")
    path = [f"hydra.searchpath=[file://{os.path.abspath(chosen.config_dir)}]"] if chosen.config_dir else []
    return config.compose([*chosen.words, *path])


@command
def main() -> None:
    """Print five training examples, as people write them and as the network sees them, and the accuracy of guessing."""
    task = config.build_task(_configuration(arguments()))
    about = getattr(task, "about", "") or (type(task).__doc__ or type(task).__name__).splitlines()[0]
    task.setup()
    print(f"{task.name}: {about}\n")
    for number in range(min(EXAMPLES, len(task.train))):
        print(example(task, number), end="\n\n")
    print(f"chance: {task.chance_accuracy:.2%} of the answers")


def example(task: Any, number: int) -> str:
    """Return a training example of a task: the problem and its answer, then a line for each step.

    Of pictures the first alone is shown step by step.

    Args:
        task: a rnn_tasks.tasks.Task that has been set up.
        number: the example's, counted from 0.
    """
    inputs, length, targets, asked = task.train[number]
    every_step = task.format.every_step
    asked = None if asked is None else asked[:length]
    answer = targets[:length] if every_step else targets
    problem = task.write_input(inputs[:length])
    shown = problem if "\n" in problem else printable(problem)
    lines = [f"{shown} -> {printable(task.write_answer(answer if asked is None else answer[asked]))}"]
    if "\n" in problem and number:  # a picture shows what its rows of numbers say
        return lines[0]
    for step, features in enumerate(inputs[: min(int(length), STEPS)].tolist()):
        values = " ".join(f"{value:.2f}".rstrip("0").rstrip(".") for value in features)
        answers_here = every_step and (asked is None or asked[step])
        lines.append(
            f"  step {step}: {values}" + (f" -> {task.write_answer(targets[step : step + 1])}" if answers_here else "")
        )
    return "\n".join(lines + [f"  and {length - STEPS:,} more steps"] * (length > STEPS))


if __name__ == "__main__":
    main()
