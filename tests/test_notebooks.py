"""The notebooks: their cells run, and their exercises tell a right answer from a wrong one."""

import json
import re

import pytest
from helpers import DATA, REPOSITORY

import rnn_tasks.api

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
TINY = ["task.train_size=64", "task.val_size=32", "task.test_size=200", "trainer.max_epochs=1"]
# Of each exercise: a right answer, then a wrong one.
ANSWERS = {
    "1_adding": [
        ("add_bits = lambda a, b, c: ((a + b + c) % 2, (a + b + c) // 2)", "add_bits = lambda a, b, c: (a ^ b ^ c, a)"),
        ("parameters = 4 * 3 * (2 + 3) + 2 * 4 * 3 + 3 + 1", "parameters = 63"),
        ("share = 0.999**21", "share = 0.999"),
    ],
    "2_remembering": [
        ("bits = 4", "bits = 3"),
        (
            "import math\ndef write(digit):\n    return divmod(digit, 4)[0] - 1, divmod(digit, 4)[1] * 2 / 3 - 1\n"
            "def read(state):\n    return round(state[0] + 1) * 4 + round((state[1] + 1) * 1.5)",
            "def write(digit):\n    return digit / 10, 0\ndef read(state):\n    return round(state[0] * 10)",
        ),
        ("accuracy = 0.1", "accuracy = 0.5"),
    ],
    "3_reading_mnist": [
        (
            "def centre(image):\n    return (image.sum(0) * torch.arange(28)).sum() / image.sum()",
            "def centre(image):\n    return image.sum(0).argmax()",
        ),
        (
            "seen = predictions[0].argmax(-1).tolist()\n"
            "rows = next(n for n in range(1, 29) if len(set(seen[n - 1:])) == 1)",
            "rows = 0",
        ),
        (
            "small = torch.zeros_like(images)\nsmall[:, :, 7:21] = images[:, :, ::2]\n"
            "worse = 'narrower' if accuracy(report, small) < accuracy(report, images * 0.5) else 'paler'",
            "worse = 'both'",
        ),
    ],
    "4_your_own_data": [
        ("def depth(text):\n    return text.count('(') - text.count(')')", "def depth(text):\n    return len(text)"),
        ("text = '())(()'", "text = '(()())'"),
        ("rows = 700", "rows = 850"),
    ],
    "5_what_it_computes": [
        ("step = lambda c, ones: ((c + ones) % 2, (c + ones) // 2)", "step = lambda c, ones: (ones, c)"),
        ("steps = 3", "steps = 2"),
        (
            "real = trace.real\nr = [torch.corrcoef(torch.stack((row, trace.rule_states[real].float())))[0, 1].abs()"
            " for row in trace.states[0][real].T]\nunit = int(torch.stack(r).argmax())",
            "unit = 7",
        ),
    ],
}  # fmt: skip


def code(path):
    """The code cells of a notebook, without those that hold an answer, and with the number of each check."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_every_notebook_has_three_exercises_and_no_output():
    assert [path.stem for path in NOTEBOOKS] == list(ANSWERS)
    for path in NOTEBOOKS:
        content = json.loads(path.read_text(encoding="utf-8"))
        assert [check for cell in code(path) for check in re.findall(r"def (check_\d)", cell)] == [
            "check_1",
            "check_2",
            "check_3",
        ]
        assert not any(cell.get("outputs") for cell in content["cells"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_exercises_tell_right_from_wrong(path, workplace, monkeypatch):
    """With training cut short: what the networks have learnt does not matter here."""
    pytest.importorskip("IPython")
    if "mnist" in path.stem and not DATA.is_dir():
        pytest.skip("needs MNIST")
    monkeypatch.syspath_prepend(workplace)
    monkeypatch.setenv("MPLBACKEND", "agg")
    for name in ("train", "sweep"):
        function = getattr(rnn_tasks.api, name)
        monkeypatch.setattr(rnn_tasks.api, name, lambda *words, f=function, **how: f(*words, *cut(words), **how))
    names: dict = {}
    for cell in code(path):
        checked = re.search(r"^check_(\d)\(", cell, re.M)
        exec(compile(cell, path.name, "exec"), names)
        if checked:
            call = cell[checked.start() :]
            right, wrong = ANSWERS[path.stem][int(checked[1]) - 1]
            for text, verdict in (("", "Not yet: "), (wrong, "Not yet: "), (right, "Right.")):
                exec(text, names)
                assert eval(call, names).startswith(verdict), (call, text)


def cut(words):
    """What makes a training short, whatever its task."""
    return [word for word in TINY if not ("more_open" in " ".join(words) and word.startswith("task."))]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_in_full(path, tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    if "mnist" in path.stem and not DATA.is_dir():
        pytest.skip("needs MNIST")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("RNN_TASKS_DATA", str(DATA.resolve()))
    notebook = nbformat.read(path, 4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("Not yet: " in str(output.get("data")) for output in printed) == 3
