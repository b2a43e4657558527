"""Ask a trained network: ``python -m rnn_tasks.predict adder 1011+110``."""

import json
import sys
from pathlib import Path
from typing import Any

from rnn_tasks.errors import UserError, command, parser


def predict(run: Any, inputs: list[str]) -> list[dict[str, Any]]:
    """What a loaded run answers to problems as people write them, and how sure it is of the least certain part.

    Args:
        run: from runs.load.
        inputs: like "[1, 3, 6]", "1011+110", "digit.png".

    Raises:
        UserError: an input is none of the task's.
    """
    import torch

    try:
        problems = [run.task.parse(text) for text in inputs]
    except ValueError as error:
        raise UserError(str(error)) from None
    answers = []
    with torch.inference_mode():
        for text, problem in zip(inputs, problems, strict=True):
            logits = run.model(problem[None], torch.tensor([len(problem)]))[0]
            output, confidence = run.task.answer(logits)
            answers.append({"input": text, "output": output, "confidence": confidence})
    return answers


def fitting_run(inputs: list[str]) -> Path:
    """The newest finished run whose task understands the inputs.

    Raises:
        UserError: there is none.
    """
    from rnn_tasks import runs

    for path in runs.finished():
        try:
            task = runs.build_task(runs.read_config(path))
            for text in inputs:
                task.parse(text)
            return path
        except (ValueError, UserError):
            continue
    raise UserError(f"{inputs[0]!r}: is neither a run nor an input that a finished run in {runs.OUTPUTS} understands")


@command
def main() -> None:
    """Print an answer a line."""
    command_line = parser(__doc__)
    command_line.add_argument("words", metavar="[RUN] INPUT", nargs="+", help='"[1, 3, 6]", 1011+110 or digit.png')
    command_line.add_argument("--weights", choices=("best", "last"), default="best", help="best by validation (usual)")
    command_line.add_argument("--json", action="store_true", help="print a list of input, output, confidence")
    chosen = command_line.parse_args()
    from rnn_tasks import runs

    path, inputs = runs.find(chosen.words[0]), chosen.words[1:]
    if path is None:
        path, inputs = fitting_run(chosen.words), chosen.words
        print(f"asking {path}", file=sys.stderr)
    if not inputs:
        raise UserError('no input given; ask for example "[1, 3, 6]", 1011+110 or digit.png')
    answers = predict(runs.load(path, chosen.weights), inputs)
    print(json.dumps(answers, indent=1) if chosen.json else "\n".join(answer["output"] for answer in answers))


if __name__ == "__main__":
    main()
