"""Begin a task of your own: ``python -m rnn_tasks.new task counting``.

It writes a class, its values and a test.
"""

from __future__ import annotations

import keyword
import sys
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

from rnn_tasks import checks, config
from rnn_tasks.arguments import command, command_line, parser
from rnn_tasks.errors import UserError

CLASS = '''"""Whether the number of ones is odd; change draw() to ask something else."""

import torch
from rnn_tasks.tasks import Task


class {class_name}(Task):
    """Whether the number of ones is odd: 1101 -> 1."""

    input_size, output_size = 1, 1  # one bit goes in at each step, one bit comes out
    readout = "last"  # one answer after the last step; "every_step" for one at each step
    example = "1101"

    def draw(self, lengths, stream):
        """Return inputs [N, T, D] and targets [N]; all randomness comes from the stream."""
        bits = torch.randint(2, (len(lengths), int(lengths.max())), generator=stream)
        bits *= torch.arange(bits.shape[1]) < lengths[:, None]
        return bits[..., None].float(), (bits.sum(1) % 2).float()

    def parse(self, text):
        """Return the inputs [T, D] of a problem that a person has typed."""
        if not text or set(text) - {{"0", "1"}}:
            raise ValueError(f"{{text!r}} is no string of bits like 1101")
        return torch.tensor([[float(bit)] for bit in text])

    def write_input(self, inputs):
        """Return a problem as people write it."""
        return "".join(str(int(bit)) for bit in inputs[:, 0])

    def write_answer(self, answer):
        """Return an answer as people write it."""
        return str(int(answer))
'''

VALUES = """# @package _global_
defaults:
  - override /model: lstm
  - override /loss: bce

task:
  _target_: {name}.{class_name}
  name: {name}
  losses: [bce, mse]            # losses that suit the task
  lr: {{adam: 0.01, sgd: 0.1}}    # learning rate for each optimizer
  batch_size: 16
  data_seed: 0
  train_size: 5000
  val_size: 1000
  test_size: 1000
  lengths: [1, 10]              # lowest and highest length
"""

TEST = '''"""The rule of the task, against Python's own."""

import torch
from {name} import {class_name}

SIZES = {{"batch_size": 4, "data_seed": 0, "train_size": 60, "val_size": 30, "test_size": 10, "lengths": (1, 10)}}


def test_answers_are_right():
    task = {class_name}(name="{name}", **SIZES)
    task.setup()
    for inputs, length, target in zip(task.train.inputs, task.train.lengths, task.train.targets, strict=True):
        text = task.write_input(inputs[:length])
        assert target == text.count("1") % 2
        assert torch.equal(task.parse(text), inputs[:length])
'''


def arguments() -> Namespace:
    """Build the parser of the command line."""
    words = parser(__doc__)
    words.add_argument("kind", choices=("task",), help="what is begun")
    words.add_argument("name", metavar="NAME", help="a name like counting: of the module and of the task")
    return words.parse_args()


def _check(name: str, class_name: str) -> None:
    """Refuse a name that no module, class or new task can have.

    Raises:
        UserError: it is none.
    """
    if not all(word.isidentifier() and word.isascii() and not keyword.iskeyword(word) for word in (name, class_name)):
        raise UserError(f"{name}: must be a name of Python's, like counting")
    try:
        checks.task_names(NAME=name)
    except ValueError as error:
        raise UserError(str(error)) from None
    if (config.CONF / "task" / f"{name}.yaml").exists():
        raise UserError(f"{name}: is a task that comes with the package; choose another name")


@command
def main() -> None:
    """Write the files and print what to do next."""
    name = arguments().name
    class_name = "".join(part.capitalize() for part in name.split("_"))
    files = {Path(f"{name}.py"): CLASS, Path(f"conf/task/{name}.yaml"): VALUES, Path(f"test_{name}.py"): TEST}
    _check(name, class_name)
    if existing := [str(file) for file in files if file.exists()]:
        raise UserError(f"{existing[0]}: exists already; choose another name")
    if name in sys.stdlib_module_names or name in sys.modules or find_spec(name):
        raise UserError(f"{name}: is the name of a module or directory that Python would import; choose another name")
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.format(name=name, class_name=class_name), encoding="utf-8")
        print(file)
    train = command_line("train", f"--config-dir conf task={name}")
    print(f"\npython -m pytest test_{name}.py\n{train}\n{command_line('predict', f'{name} 1101')}")


if __name__ == "__main__":
    main()
