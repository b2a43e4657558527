"""People's own data: files of every format, their sets, what is understood of them, and runs that keep it."""

import copy
import gzip
import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import rnn_tasks
from rnn_tasks import config, runs
from rnn_tasks.config.stacking import grouped
from rnn_tasks.errors import UserError
from rnn_tasks.runs import asking, stack_training
from rnn_tasks.runs.confusion import confusion, confusion_table
from rnn_tasks.runs.evaluation import evaluate
from rnn_tasks.stack.data import SharedData
from rnn_tasks.tasks import delimited, tables
from rnn_tasks.tasks.columns import compact, smallest
from rnn_tasks.tasks.description import Description
from rnn_tasks.tasks.file import File
from rnn_tasks.tasks.sequences import sorted_rows
from rnn_tasks.tasks.splits import split
from rnn_tasks.train import train

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import csv, parquet  # noqa: E402

COLORS = ("blue", "green", "red")


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables.release()


def drawn(count=20, seed=0, target=lambda x, last: ("rising" if x > 0 else "falling") if last else ""):
    """Rows of sequences of 1 to 5 steps, as mappings."""
    stream, rows = random.Random(seed), []
    for number in range(count):
        steps = stream.randint(1, 5)
        for step in range(steps):
            x = round(stream.gauss(3, 2), 3) * stream.choice((-1, 1))
            row = {"sequence": f"s{number}", "step": step, "x": x, "color": stream.choice(COLORS)}
            rows.append({**row, "target": target(x, step == steps - 1)})
    return rows


def write(path, rows, delimiter=","):
    lines = [delimiter.join(rows[0]), *(delimiter.join(map(str, row.values())) for row in rows)]
    text = "\n".join(lines) + "\n"
    with gzip.open(path, "wt") if path.endswith(".gz") else open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return text


def task(path="data.csv", **values):
    return File(path, name="file", batch_size=4, **{"data_seed": 0} | values)


def ready(path="data.csv", **values):
    made = task(path, **values)
    made.setup()
    return made


def trained(run, *words):
    silent = ["trainer.enable_progress_bar=false", "logger=csv", "threads=1"]
    return train(config.compose(["task=file", "model.hidden=3", "trainer.max_epochs=1", *silent, *words]), Path(run))


def content(made):
    return [part for each in (made.train, made.val, *made.test) for part in each.padded(5) if part is not None]


def same(first, second):
    return all(map(torch.equal, content(first), content(second))) and first.known == second.known


def test_every_format_holds_the_same_sequences():
    rows = drawn()
    write("data.csv", rows)
    write("data.tsv", rows, "\t")
    write("data.csv.gz", rows)
    parquet.write_table(csv.read_csv("data.csv"), "data.parquet")
    for other in ("data.tsv", "data.csv.gz", "data.parquet"):
        assert same(ready("data.csv"), ready(other)), other


def test_arrays_hold_the_same_sequences_as_text():
    stream = np.random.default_rng(0)
    inputs, lengths = stream.normal(size=(9, 4, 2)).round(3), np.array([1, 2, 3, 4, 4, 4, 3, 2, 1])
    for targets in (stream.integers(0, 2, 9), stream.normal(size=(9, 4)), stream.integers(0, 2, (9, 4, 3))):
        np.savez("data.npz", inputs=inputs, lengths=lengths, targets=targets)
        rows = []
        for number in range(9):
            for step in range(lengths[number]):
                row = {"sequence": number, "step": step, "x1": inputs[number, step, 0], "x2": inputs[number, step, 1]}
                own = targets[number] if targets.ndim == 1 else targets[number, step]
                parts = np.atleast_1d(own) if targets.ndim > 1 or step == lengths[number] - 1 else [""]
                names = ["target"] if len(parts) == 1 else [f"target{i + 1}" for i in range(len(parts))]
                rows.append(row | dict(zip(names, parts, strict=True)))
        write("data.csv", rows)
        assert same(ready("data.npz"), ready("data.csv"))


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_does_not_matter(seed):
    rows = drawn(seed=seed)
    write("data.csv", rows)
    random.Random(seed).shuffle(rows)
    write("other.csv", rows)
    assert same(ready("data.csv"), ready("other.csv"))


def test_rows_that_stand_together_are_sorted_like_others():
    stream = np.random.default_rng(0)
    for keys in (np.repeat([3, 1, 1, 0, 2], 9), np.repeat([1, 0, 1], 5), stream.integers(0, 4, 40), np.zeros(6, int)):
        for step in (None, np.arange(len(keys)), -np.arange(len(keys)), stream.integers(0, 99, len(keys))):
            rows = sorted(range(len(keys)), key=lambda row: (keys[row], 0 if step is None else step[row]))
            assert sorted_rows(keys.astype(np.int32), step).tolist() == rows


def test_whole_numbers_are_kept_exactly_in_the_smallest_type():
    for low, high, kind in ((0, 127, "int8"), (-129, 0, "int16"), (0, 1 << 15, "int32"), (0, 1 << 31, "int64")):
        numbers = np.array([low, high])
        assert np.array_equal(smallest(numbers), numbers) and smallest(numbers).dtype == kind


def test_too_little_memory_for_the_inputs_is_told_before_they_are_made(monkeypatch):
    write("data.csv", drawn(400))
    made = task()
    size = sum(numbers * 4 * 4 * 5 for numbers in made.known.sizes)
    monkeypatch.setattr("rnn_tasks.memory.total", lambda: float(size))
    with pytest.raises(UserError, match=r"task.path=data.csv: 4 inputs, sequences padded to 5 steps: needs"):
        made.setup()


def test_without_a_column_of_steps_rows_stay_in_their_order():
    rows = [{key: value for key, value in row.items() if key != "step"} for row in drawn()]
    write("data.csv", rows)
    write("other.csv", drawn())
    assert all(map(torch.equal, content(ready("data.csv")), content(ready("other.csv"))))


@pytest.mark.parametrize("seed", range(5))
def test_no_sequence_is_in_two_sets(seed):
    rows = drawn(count=11 + 7 * seed, seed=seed)
    for row in rows:
        row["color"] = "red"
        row["x"] = int(row["sequence"][1:])  # tells sequences apart
    write("data.csv", rows)
    made = ready("data.csv", data_seed=seed, standardize=False)
    sets = [set(each.inputs[:, 0, 0].int().tolist()) for each in (made.train, made.val, *made.test)]
    assert set.union(*sets) == set(range(11 + 7 * seed)) and sum(map(len, sets)) == 11 + 7 * seed
    assert [len(each) for each in sets] == [made.train_size, made.val_size, made.test_size]
    other = ready("data.csv", data_seed=seed + 1, standardize=False)
    assert set(other.train.inputs[:, 0, 0].int().tolist()) != sets[0]


def test_scales_are_those_of_training_rows_alone():
    write("data.csv", rows := drawn(40))
    made = task("data.csv")
    training = set(made.prepared.sets[0].names)
    own = np.array([row["x"] for row in rows if row["sequence"] in training])
    (x, _) = made.known.inputs
    assert x.mean == pytest.approx(own.mean(), abs=1e-12) and x.std == pytest.approx(own.std(), abs=1e-12)
    for row in rows:
        row["x"] = row["x"] if row["sequence"] in training else 1000
    write("data.csv", rows)
    assert task("data.csv").known.inputs[0] == x
    for row in rows:
        row["color"] = row["color"] if row["sequence"] in training else "violet"
    write("data.csv", rows)
    made = ready("data.csv")
    assert made.known.inputs[1].categories == COLORS and not made.test[0].inputs[..., 1:].any()


def test_sets_have_the_share_of_every_class():
    classes = torch.tensor([0] * 60 + [1] * 30 + [2] * 10 + [3])
    sets = split(101, 0.2, 0.1, torch.Generator().manual_seed(0), classes)
    counts = torch.stack([classes[sets == number].bincount(minlength=4) for number in range(3)])
    assert counts.sum(1).tolist() == [71, 20, 10]
    assert counts[1:, :3].tolist() == [[12, 6, 2], [6, 3, 1]]
    assert counts[:, 3].tolist() == [1, 0, 0]  # a class of one example is in training


def test_a_column_may_name_the_sets():
    rows = drawn(9)
    names = ["train", "val", "test"]
    write("data.csv", [{**row, "part": names[int(row["sequence"][1:]) % 3]} for row in rows])
    made = task("data.csv", split_by="part")
    assert [list(each.names) for each in made.prepared.sets] == [[f"s{n + 3 * i}" for i in range(3)] for n in range(3)]
    assert [each.name for each in made.known.inputs] == ["x", "color"]
    write("data.csv", [{**row, "part": names[len(row["color"]) % 3]} for row in rows])
    with pytest.raises(UserError, match=r"line \d+, column part: sequence s\d is in two sets"):
        task("data.csv", split_by="part")
    write("data.csv", [{**row, "part": "train"} for row in rows])
    with pytest.raises(UserError, match="no sequence is for 'val'"):
        task("data.csv", split_by="part")


@pytest.mark.parametrize(("count", "folds"), [(23, 5), (20, 4), (7, 7), (9, 2)])
def test_each_sequence_is_in_the_test_of_one_fold(count, folds):
    write("data.csv", rows := drawn(count, target=lambda x, last: ("odd", "even")[int(x * 1000) % 2] if last else ""))
    targets = {row["sequence"]: row["target"] for row in rows if row["target"]}
    made = [task(folds=folds, fold=fold).prepared for fold in range(folds)]
    tests = [list(each.sets[2].names) for each in made]
    assert sorted(sum(tests, [])) == sorted(targets)
    assert {len(each.sets[0].names) for each in made} == {count - -(-count // folds) - max(1, round(count * 0.15))}
    for each in made:
        names = sum((list(part.names) for part in each.sets), [])
        assert sorted(names) == sorted(targets)
    for name in ("odd", "even"):
        counts = [sum(targets[each] == name for each in test) for test in tests]
        assert max(counts) - min(counts) <= 1 and max(map(len, tests)) - min(map(len, tests)) <= 1


def test_folds_depend_on_the_data_seed_alone():
    write("data.csv", rows := drawn(30))
    random.Random(0).shuffle(rows)
    write("other.csv", rows)
    own = [list(each.names) for each in task(folds=3, fold=1).prepared.sets]
    assert own == [list(each.names) for each in task("other.csv", folds=3, fold=1, seed=7).prepared.sets]
    assert own != [list(each.names) for each in task(folds=3, fold=1, data_seed=1).prepared.sets]


def test_each_fold_has_the_scales_of_its_own_training_rows():
    write("data.csv", rows := drawn(30))
    scales = []
    for fold in range(3):
        made = task(folds=3, fold=fold)
        own = [row["x"] for row in rows if row["sequence"] in set(made.prepared.sets[0].names)]
        assert made.known.inputs[0].mean == pytest.approx(np.mean(own), abs=1e-12)
        scales.append(made.known.inputs[0].std)
    assert len(set(scales)) == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"folds": 1}, "folds=1: must be at least 2"),
        ({"folds": 5, "fold": 5}, "fold=5: must be less than folds=5"),
        ({"fold": 1}, "fold=1: must be 0 without folds"),
        ({"folds": 5, "split_by": "color"}, "folds=5: must be left out beside split_by=color"),
        ({"folds": 5, "test_share": 0.3}, "test_share=0.3: must be left out beside folds=5"),
        ({"folds": 21}, "20 sequences: too few for task.folds=21"),
        ({"folds": 2, "val_share": 0.6}, "none is left for training with task.folds=2 and task.val_share=0.6"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(values, message):
    write("data.csv", drawn(20))
    with pytest.raises((ValueError, UserError), match=message):
        task(**values)


def test_show_tells_of_the_folds():
    write("data.csv", drawn(20))
    text = "folds      3, with 6 or 7 test sequences, each sequence in one; shown is task.fold=2"
    assert text in task(folds=3, fold=2).about


def test_all_folds_are_a_sweep_unless_one_is_chosen():
    assert config.with_all_folds(["task=file", "task.folds=3"])[-1] == "task.fold=range(3)"
    for words in (["task.folds=3", "task.fold=1"], ["task.folds=null"], ["task.folds=3,5"], ["task.folds=1"], ["a=1"]):
        assert config.with_all_folds(words) == words
    with pytest.raises(UserError, match=r"task.folds=3: hydra/sweeper=optuna would choose"):
        config.with_all_folds(["task.folds=3", "hydra/sweeper=optuna"])
    with pytest.raises(UserError, match=r"has a run for each fold; call sweep"):
        rnn_tasks.train("task=file", "task.path=data.csv", "task.folds=3")


@pytest.mark.slow
def test_folds_trained_at_once_are_those_trained_alone(monkeypatch):
    rows = drawn(41)
    rows[0]["color"] = "gold"  # which not every fold has in its training set
    write("data.csv", rows)
    words = ["task.path=data.csv", "task.folds=4", "model.replicates=2"]
    own = ["task=file", "model.hidden=3", "trainer.max_epochs=1", "logger=csv", "threads=1", *words]
    at_once, train_jobs = [], stack_training._train
    monkeypatch.setattr(stack_training, "_train", lambda *given: at_once.append(len(given[0])) or train_jobs(*given))
    assert len(rnn_tasks.sweep(*own, directory="sweep", progress=False).names) == 4
    results = [runs.read_result(Path("sweep") / f"task.fold={fold}") for fold in range(4)]
    assert sum(each["metrics"]["test"]["n"] for each in results) == 41
    known = [Description.parse(each["config"]["task"]["description"]).inputs[1].size for each in results]
    assert set(known) == {3, 4} and sorted(at_once) == sorted(n for n in map(known.count, (3, 4)) if n > 1)
    for fold, result in enumerate(results):
        alone = trained(f"alone{fold}", *words, f"task.fold={fold}")
        for name in ("val", "test"):
            assert alone["metrics"][name]["loss"] == pytest.approx(result["metrics"][name]["loss"], rel=1e-4)
            assert alone["metrics"][name]["n"] == result["metrics"][name]["n"]
    printed = Path("sweep/summary.md").read_text(encoding="utf-8")
    assert all(name in printed for name in ("all folds", "mean of 4 folds", "all sequences"))


def test_folds_can_be_trained_at_once():
    write("data.csv", drawn(20))
    cfgs = [config.compose(["task=file", "task.path=data.csv", "task.folds=3", f"task.fold={fold}"]) for fold in (0, 1)]
    assert grouped(cfgs, lambda cell: True).stacks == [[0, 1]]


@pytest.mark.parametrize(
    ("target", "kind", "every_step", "size"),
    [
        (lambda x, last: ("b" if x > 0 else "a") if last else "", "classes", False, 2),
        (lambda x, last: "b" if x > 0 else "a", "classes", True, 2),
        (lambda x, last: int(x > 0), "bits", True, 1),
        (lambda x, last: int(x) % 5 + 1 if last else "", "classes", False, 5),
        (lambda x, last: x / 7, "numbers", True, 1),
        (lambda x, last: x / 7 if last else "", "numbers", False, 1),
        (lambda x, last: x / 7 if last or x > 0 else "", "numbers", True, 1),
    ],
)
def test_kind_and_place_of_answers_are_seen(target, kind, every_step, size):
    write("data.csv", drawn(60, target=target))
    made = ready("data.csv")
    assert (made.format.kind, made.format.every_step, made.format.size) == (kind, every_step, size)
    assert 0 < made.chance_accuracy < 1


def test_only_steps_with_a_target_are_asked():
    rows = drawn(30, target=lambda x, last: int(x > 3) if last or x > 0 else "")
    write("data.csv", rows)
    made = task("data.csv")
    names, sets = made.prepared.sets[0].names, made.prepared.sets
    made.setup()
    assert sum(map(len, (each.names for each in sets))) == 30
    for number, name in enumerate(names):
        own = [row["target"] for row in rows if row["sequence"] == name]
        assert made.train.asked[number, : len(own)].tolist() == [value != "" for value in own]
        asked = made.train.targets[number][made.train.asked[number]]
        assert asked.tolist() == [value for value in own if value != ""]


def test_the_user_decides_what_could_be_either():
    write("data.csv", drawn(30, target=lambda x, last: int(abs(x)) % 4))
    assert task("data.csv").known.kind == "classes" and task("data.csv", kind="numbers").output_size == 1
    ended = ready("data.csv", answer="end")
    assert ended.readout == "last" and ended.train.targets.dim() == 1
    named = task("data.csv", sequence="sequence", inputs=["color"], targets=["x"])
    assert (named.input_size, named.known.targets[0].name, named.known.step) == (3, "x", "step")


def test_sequences_without_a_target_are_dropped():
    rows = drawn(30)
    for row in rows:
        row["target"] = row["target"] if row["sequence"] not in ("s3", "s4") else ""
    write("data.csv", rows)
    made = task("data.csv")
    assert made.prepared.dropped == 2 and sum(made.known.sizes) == 28
    assert "dropped    2 sequences" in made.about


def test_missing_inputs_become_the_mean_where_that_is_asked():
    rows = drawn(30)
    rows[7] |= {"x": "", "color": ""}
    write("data.csv", rows)
    made = ready("data.csv", missing="mean")
    assert sum(int((~each.inputs.any(-1)).sum()) for each in (made.train, made.val, *made.test)) > 0
    with pytest.raises(UserError, match=r"data.csv, line 9, column x: is empty"):
        ready("data.csv")


ROWS = drawn()
GOOD = "\n".join([",".join(ROWS[0]), *(",".join(map(str, row.values())) for row in ROWS)])
LINES = GOOD.splitlines()
WRONG = {
    "": "is empty",
    LINES[0]: "has no rows",
    "1,2,3\n4,5,6": "no names of columns",
    GOOD.replace(",", ";"): "columns apart by ';'",
    GOOD.replace("color", "x"): "two columns are named 'x'",
    GOOD.replace("sequence", ""): "column 1 has no name",
    GOOD.replace("sequence", "who"): "no column named sequence or id",
    GOOD.replace("target", "label"): "name begins with target",
    GOOD.replace(",step", ",time").replace("color", "step"): "columns time and step",
    GOOD + "\ns1,0": f"line {len(LINES) + 1}: has 2 cells, and the header 5",
    GOOD + "\ns1,0,1,red,": "sequence s1 has this step already in line",
    GOOD + "\n,0,1,red,": f"line {len(LINES) + 1}, column sequence: is empty",
    GOOD + "\ns1,,1,red,": f"line {len(LINES) + 1}, column step: is empty",
    GOOD + '\ns99,0,"1,5",red,rising': f"line {len(LINES) + 1}, column x: '1,5' is no number; write 1.5",
    GOOD + "\ns99,0,NaN,red,rising": f"line {len(LINES) + 1}, column x: is infinite or NaN",
    GOOD + "\ns99,0,1e999,red,rising": f"line {len(LINES) + 1}, column x: is infinite or NaN",
    GOOD + "\ns99,0,oops,red,rising": f"line {len(LINES) + 1}, column x: 'oops' is no number",
    GOOD + '\n\n\n"s\n99",0,NA,red,rising': f"line {len(LINES) + 3}, column x: 'NA' is no number; leave the cell empty",
    GOOD + '\ns99,0,1,"red,rising': f"line {len(LINES) + 1}: has 4 cells",
    GOOD + "\n" + "z" * 200_000 + ",0,1,red,rising": f"line {len(LINES) + 1}: cannot be read",
    GOOD.replace("rising", "falling"): "target is falling everywhere",
    "\n".join(line for line in LINES if line[:3] in ("seq", "s1,", "s2,")): "has 2 sequences with targets",
    "sequence,x,target\n" + "\n".join(f"{i},c{i},{i % 2}" for i in range(400)): "different texts",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items(), ids=WRONG.values())
def test_a_fault_of_a_file_is_named_in_one_line(text, message):
    with open("data.csv", "w", encoding="utf-8") as file:
        file.write(text)
    with pytest.raises(UserError) as error:
        ready("data.csv")
    assert "data.csv" in str(error.value) and message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_named(encoding):
    with open("data.csv", "w", encoding=encoding) as file:
        file.write(GOOD.replace("red", "grün"))
    with pytest.raises(UserError, match=r"data.csv, line \d+: is not UTF-8"):
        task("data.csv")


@pytest.mark.parametrize("change", ["\ufeff{}", "\r\n", "\r", '"'])
def test_other_ways_to_write_a_table_are_read(change):
    text = GOOD.replace("\n", change) if change.strip() == "" else change.format(GOOD)
    text = GOOD.replace("red", '"red"') if change == '"' else text
    with open("data.csv", "w", encoding="utf-8", newline="") as file:
        file.write(text)
    write("other.csv", ROWS)
    assert same(ready("data.csv"), ready("other.csv"))


def test_large_identifiers_and_steps_are_kept_apart():
    text = "sequence,step,x,target\n"
    for number in range(9):
        text += "".join(f"{2**53 + number},{2**60 + step},{number}.5,{number % 2}\n" for step in range(3))
    with open("data.csv", "w", encoding="utf-8") as file:
        file.write(text)
    made = task("data.csv")
    assert sum(made.known.sizes) == 9 and made.known.lengths == (3, 3)
    parquet.write_table(csv.read_csv("data.csv"), "data.parquet")
    assert task("data.parquet").known == made.known


def test_a_thousand_classes():
    write("data.csv", [{"id": i, "x": i, "target": f"class {i % 1000}"} for i in range(3000)])
    made = ready("data.csv")
    assert made.output_size == 1000 and len(Description.parse(made.description).classes) == 1000
    assert made.train.targets.unique().numel() == 1000


def test_special_files_are_refused(monkeypatch):
    os.mkfifo("pipe.csv")
    os.mkdir("directory.csv")
    os.symlink("/dev/zero", "zero.csv")
    write("data.txt", ROWS)
    write("large.csv", ROWS)
    for name, message in {
        "pipe.csv": "no ordinary file",
        "zero.csv": "no ordinary file",
        "directory.csv": "is a directory",
        "missing.csv": "no such file",
        "data.txt": "must have a name that ends in .csv",
    }.items():
        with pytest.raises(UserError, match=message):
            task(name)
    monkeypatch.setattr("rnn_tasks.memory.total", lambda: 100.0)
    with pytest.raises(UserError, match=r"task.path=large.csv: needs"):
        task("large.csv")


class Executed:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_damaged_and_pickled_binary_files_are_refused():
    np.savez("pickled.npz", inputs=np.array([Executed()], dtype=object), targets=np.zeros(1))
    np.savez("good.npz", inputs=np.zeros((9, 3, 2)), targets=np.arange(9) % 2)
    write("data.csv", ROWS)
    parquet.write_table(csv.read_csv("data.csv"), "good.parquet")
    for name in ("good.npz", "good.parquet"):
        with open(name, "rb") as file:
            whole = file.read()
        for number, part in enumerate((b"", whole[:50], whole[: len(whole) // 2], whole[:-30])):
            with open(f"bad{number}.{name.rpartition('.')[2]}", "wb") as file:
                file.write(part)
    for name in ("pickled.npz", *(f"bad{n}.{end}" for n in range(4) for end in ("npz", "parquet"))):
        with pytest.raises(UserError, match=r"or damaged|is damaged"):
            task(name)
    assert not os.path.exists("executed")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"targets": np.zeros(9)}, "no array inputs"),
        ({"inputs": np.zeros((9, 3, 2)), "targets": np.zeros(8)}, r"targets \[8\]"),
        ({"inputs": np.zeros((9, 3, 2)), "targets": np.arange(9), "lengths": np.zeros(9, int)}, r"lengths\[0\] is 0"),
        (
            {"inputs": np.zeros((9, 3)), "targets": np.arange(9), "input_names": np.array(["target"])},
            "which something else is",
        ),
        (
            {"inputs": np.full((9, 3, 2), np.inf), "targets": np.arange(9)},
            r"sequence \[0\], step \[0\], x1: is infinite",
        ),
        (
            {"inputs": np.full((9, 3, 2), np.nan), "targets": np.arange(9)},
            r"sequence \[\d\], step \[0\], column x1: is em",
        ),
    ],
)
def test_faults_of_arrays_are_named(arrays, message):
    np.savez("data.npz", **arrays)
    with pytest.raises(UserError, match=message):
        ready("data.npz")


def test_numbers_are_kept_exactly_in_small_types():
    stream = np.random.default_rng(0)
    for numbers in (stream.integers(-128, 128, 50), stream.integers(-9999, 9999, 50), stream.normal(size=50)):
        for missing in (False, True):
            values = numbers.astype(float)
            values[3] = np.nan if missing else values[3]
            assert np.array_equal(compact(values), values, equal_nan=True)
    assert compact(np.array([0.0, 1.0])).dtype == np.int8 and compact(np.array([0.5, np.nan])).dtype == np.float32


def test_a_problem_is_read_as_it_was_written():
    rows = drawn(30)
    for number, row in enumerate(rows):
        row["color"] = ("'a;b'", '"x,y"', "plain")[number % 3]
        row["x"] = row["x"] * 10.0 ** (number % 7) + 1e6
    write("data.csv", rows)
    made = ready("data.csv")
    for inputs, length in zip(made.train.inputs, made.train.lengths, strict=True):
        assert torch.equal(made.parse(made.write_input(inputs[:length])), inputs[:length])
    assert made.parse(made.example).shape == (2, made.input_size)
    for text in ("", "1", "1,plain;2", "word,plain", "nan,plain", "1,plain,3"):
        with pytest.raises(ValueError, match=r"must be steps of x,color|no number, and x"):
            made.parse(text)


def test_numbers_are_answered_in_the_units_of_the_file():
    rows = drawn(30, target=lambda x, last: 1000 + 50 * x)
    write("data.csv", rows)
    made = task("data.csv")
    name = made.prepared.sets[0].names[0]
    made.setup()
    wanted = [row["target"] for row in rows if row["sequence"] == name]
    written = made.write_answer(made.train.targets[0, : len(wanted)])
    assert [float(part) for part in written.split("; ")] == pytest.approx(wanted, rel=1e-5)


def test_a_description_is_checked():
    write("data.csv", drawn())
    text = task("data.csv").description
    assert Description.parse(text).text() == text
    values = json.loads(text)
    wrong = [{"kind": "code"}, {"sizes": [1, 2]}, {"lengths": [0, 3]}, {"classes": ["one"]}, {"inputs": []}, {"new": 1}]
    wrong += [
        {"inputs": [values["inputs"][0] | {key: value}]} for key, value in (("std", 0.0), ("mean", "x"), ("a", 1))
    ]
    for change in wrong:
        with pytest.raises(ValueError, match=r"task.description: is damaged"):
            Description.parse(json.dumps(values | change))
    for other in ("", "[]", "nonsense", text.replace("1.0", "NaN"), "[" * 10_000):
        with pytest.raises(ValueError, match=r"task.description: is damaged"):
            Description.parse(other)


@pytest.fixture(scope="module")
def cfg():
    return config.compose(["task=file", "task.path=data.csv"])


@pytest.fixture
def described(cfg):
    """Describes data.csv in a configuration as a run that begins does."""

    def describe(**changes):
        own = copy.deepcopy(cfg)
        own.task.path = "data.csv"
        own.update(changes)
        runs.describe_data(own)
        return own

    return describe


def test_names_that_configurations_would_replace_are_kept(described):
    write("data.csv", drawn(target=lambda x, last: ("${seed}" if x > 0 else "???") if last else ""))
    Path("run").mkdir()
    runs.write_config(Path("run"), described())
    assert config.build_task(runs.read_config(Path("run"))).known.classes == ("${seed}", "???")


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    place = tmp_path_factory.mktemp("file")
    write(str(place / "data.csv"), drawn(40))
    trained(place / "run", f"task.path={place}/data.csv", "model.replicates=2")
    return place


@pytest.fixture
def run(trained_once):
    """A run of two replicates on 40 sequences in data.csv."""
    shutil.copytree(trained_once, ".", dirs_exist_ok=True)
    text = Path("run/config.yaml").read_text(encoding="utf-8")
    Path("run/config.yaml").write_text(text.replace(str(trained_once), os.getcwd()), encoding="utf-8")
    return Path("run").absolute()


def test_a_run_answers_without_its_file_and_notices_a_change(run, capsys):
    loaded = runs.load(run, "last", "all")
    metrics = evaluate(loaded)
    assert metrics["accuracy"] == loaded.result["metrics"]["test"]["accuracy"]
    os.rename("data.csv", "moved.csv")
    again = runs.load(run)
    assert again.ask("0.5,red; -2,blue")[0] in ("rising", "falling")
    with pytest.raises(UserError, match=r"data.csv: no such file"):
        evaluate(again)
    write("data.csv", drawn(40, seed=1))
    with pytest.raises(UserError, match=r"data.csv: has changed since the run began"):
        evaluate(runs.load(run))
    with pytest.raises(UserError, match=r"holds another run, with task.path="):
        trained(run, "task.path=data.csv", "model.replicates=2")
    write("few.csv", [{key: row[key] for key in row if key != "target"} for row in drawn(3)])
    capsys.readouterr()
    asking.answer(again, ["few.csv"], as_json=False)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in printed] == ["s0", "s1", "s2"]
    problem = "; ".join(f"{row['x']},{row['color']}" for row in drawn(3) if row["sequence"] == "s1")
    assert printed[1] == f"s1: {again.ask(problem)[0]}"


def test_a_run_goes_on_where_its_file_has_moved(run):
    os.rename("data.csv", "moved.csv")
    result = (run / "result.json").read_text(encoding="utf-8")
    trained(run, "task.path=moved.csv", "model.replicates=2")
    assert (run / "result.json").read_text(encoding="utf-8") == result


def test_confusion_counts_every_answer(run):
    loaded = runs.load(run, "last", "all")
    loaded.task.setup()
    found = confusion(loaded)
    (test,) = loaded.task.test
    wanted = [[0, 0], [0, 0]]
    for number in range(len(test)):
        length = test.lengths[number : number + 1]
        answers = loaded.logits(test.inputs[number : number + 1, : int(length)], length)[:, 0].argmax(-1)
        for answer in answers.tolist():
            wanted[int(test.targets[number])][answer] += 1
    assert found == {"classes": ["falling", "rising"], "counts": wanted}
    assert confusion_table(found).splitlines()[2].split() == ["falling", *map(str, wanted[0])]
    many = {"classes": [str(n) for n in range(30)], "counts": np.eye(30, dtype=int).tolist()}
    many["counts"][3][7] = 5
    assert confusion_table(many).splitlines()[-1].split() == ["3", "7", "5"]


def test_errors_of_numbers_are_in_the_units_of_the_file(described):
    write("data.csv", rows := drawn(30, target=lambda x, last: 1000 + 50 * x if last or x > 0 else ""))
    own = described()
    task, model = config.build(own)
    own.task.description = None
    names = set(config.build_task(own).prepared.sets[2].names)
    task.setup()
    loaded = runs.Run(Path("run"), own, task, model, 0, [False], None)
    found = confusion(loaded)
    assert found["targets"] == ["target"]
    answers = []
    for name, inputs in task.read("data.csv"):
        if name in names:
            written = loaded.answer(inputs[None], torch.tensor([len(inputs)]))[0][0].split("; ")
            answers += zip([row for row in rows if row["sequence"] == name], written, strict=True)
    errors = [abs(float(answer) - row["target"]) for row, answer in answers if row["target"] != ""]
    assert found["mean_absolute_error"] == [pytest.approx(np.mean(errors), rel=1e-3)]


@pytest.mark.slow
def test_a_sweep_over_a_file_is_trained_at_once():
    write("data.csv", drawn(40))
    words = ["task=file", "task.path=data.csv", "model.hidden=2,3", "trainer.max_epochs=1", "logger=csv"]
    sweep = rnn_tasks.sweep(*words, directory="sweep", progress=False)
    assert len(sweep.names) == 2
    assert Path("sweep/test_by_length.png").exists()


def test_a_file_is_read_once_when_a_run_begins(monkeypatch, tmp_path):
    write("data.csv", drawn(40))
    read, calls = delimited.read, []
    monkeypatch.setattr(delimited, "read", lambda *given: calls.append(given) or read(*given))
    trained(tmp_path / "run", "task.path=data.csv")
    assert len(calls) == 1 and not tables._kept


def test_the_loss_suits_the_targets(described):
    for name, target in {
        "bce": lambda x, last: int(x > 0),
        "ce": lambda x, last: "yes" if x > 0 else "no",
        "squared": lambda x, last: x * 3,
    }.items():
        write("data.csv", drawn(20, target=target))
        assert described().loss._target_.endswith(f".{name}")
    with pytest.raises(UserError, match="loss=ce: does not suit targets that are numbers; choose squared"):
        described(loss={"_target_": "rnn_tasks.training.losses.ce"})


def test_runs_of_a_stack_share_a_file_in_memory(described):
    write("data.csv", drawn(20))
    own = described()
    first, second, shared = config.build_task(own), config.build_task(own), SharedData()
    for each in (first, second):
        shared.set_up(each, "the same")
    assert first.train is second.train
