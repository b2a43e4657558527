"""Ask a trained network: ``python -m rnn_tasks.predict adder 1011+110``.

Prints one answer per INPUT. Of a photo it prints the numbers, one line of text per line of digits. A photo of several
digits leaves a picture with a box around each digit in outputs/answers, a directory of photos a grid of all digits.
"""

import json
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rnn_tasks import runs
from rnn_tasks.arguments import add_trust, command, parser, replicate
from rnn_tasks.errors import UserError, one_line, tell
from rnn_tasks.photos.files import is_directory, with_images_of_directories
from rnn_tasks.runs import asking
from rnn_tasks.runs.directory import CONFIG

if TYPE_CHECKING:
    from rnn_tasks.photos.reading import Answer

MAX_GRID = 100  # digits in the picture of a directory of photos


def arguments() -> Namespace:
    """Build the parser of the command line."""
    command_line = parser(__doc__)
    help = (
        "a run directory, latest or the name of a task; then problems like 1011+110 or [1, 3, 6], photos, or"
        " directories of photos. Without RUN, asks the newest run that can read them; without INPUT, reads problems"
        " from stdin"
    )
    command_line.add_argument("words", metavar="[RUN] INPUT", nargs="*", help=help)
    command_line.add_argument(
        "--weights",
        choices=("best", "last"),
        default="best",
        help="of the best epoch in validation, or of the last (default: best)",
    )
    command_line.add_argument(
        "--replicate", type=replicate, default="best", help="its number from 0, or best by validation (default: best)"
    )
    command_line.add_argument("--json", action="store_true", help="print a list of input, output, confidence")
    add_trust(command_line)
    chosen = command_line.parse_args()
    if chosen.replicate == "all":
        raise UserError("--replicate all: one must answer; give its number, or best")
    return chosen


@command
def main() -> int | None:
    """Print the answers to the inputs.

    Returns:
        The exit status: 2 if a photo cannot be read, else None.
    """
    chosen = arguments()
    words = chosen.words or ["latest"]
    holds_images = is_directory(words[0]) and not (Path(words[0]) / CONFIG).exists()
    path = None if holds_images else runs.find(words[0])
    inputs = words if path is None else words[1:]
    problems = with_images_of_directories(inputs)
    run = runs.load(path or asking.newest_run_for(problems), chosen.weights, chosen.replicate, chosen.trust)
    status = None
    try:
        if not problems:
            runs.tell_run(run, chosen.replicate)
            asking.converse(run)
            return None
        if run.task.reads_photos:
            status = read_photos(run, problems, any(map(is_directory, inputs)), chosen.json)
        else:
            asking.answer(run, problems, chosen.json)
    except ValueError as error:
        raise UserError(str(error)) from None
    if not status:
        runs.tell_run(run, chosen.replicate)
    return status


def read_photos(run: runs.Run, paths: list[str], name_each: bool, as_json: bool) -> int:
    """Print the numbers in photos, and on stderr the paths of the pictures left in outputs/answers.

    A photo that cannot be read is reported on stderr and skipped.

    Args:
        run: of one replicate.
        paths: of the photos.
        name_each: whether to begin each line with the photo's path, and to draw a grid of all digits.
        as_json: whether to print a list of the answers as ``answers.as_json`` gives them.

    Returns:
        The exit status: 2 if a photo cannot be read, else 0.
    """
    from rnn_tasks.photos import answers

    rows, status = [], 0
    grid: list[tuple[str, Answer]] = []
    pictures = answers.PictureFiles(runs.OUTPUTS / "answers")
    for path in paths:
        try:
            image, lines = answers.read_file(run, path)
        except ValueError as error:
            tell(f"error: {one_line(error)}")
            status = 2
            continue
        rows.append(answers.as_json(path, lines))
        if not as_json:
            texts = rows[-1]["output"].split("\n")
            print("\n".join(f"{path}: {text}" if name_each else text for text in texts), flush=True)
        digits = [(Path(path).name, digit) for line in lines for digit in line]
        grid += digits[: MAX_GRID - len(grid)]
        if len(digits) > 1:
            pictures.save(Path(path).stem, answers.draw_boxes(image, lines).save)
    if as_json:
        print(json.dumps(rows, indent=1))
    elif name_each and grid:
        pictures.save("answers", partial(draw_grid, grid))
    for picture in pictures.paths:
        tell(str(picture))
    return status


def draw_grid(answers: "list[tuple[str, Answer]]", path: Path) -> None:
    """Save a picture of digits, each below the name of its photo and the answer."""
    from rnn_tasks.runs import plots

    titles = (f"{name}: {answer.text} ({answer.confidence:.0%})" for name, answer in answers)
    pictures = [plots.Picture(a.digit.image, title, True) for (_, a), title in zip(answers, titles, strict=True)]
    plots.save(plots.image_grid(pictures), path)


if __name__ == "__main__":
    main()
