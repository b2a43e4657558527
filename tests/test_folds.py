"""The table of a cross-validation, against its numbers by hand."""

from statistics import fmean

import pytest

from rnn_tasks.runs.folds import fold_metrics, fold_table
from rnn_tasks.runs.settings import settings_of
from rnn_tasks.runs.solving import Network, networks_of, numbers_of
from rnn_tasks.runs.sweeps import SweepRow
from rnn_tasks.training.intervals import interval

ACCURACY = {0: [0.5, 1.0], 1: [0.25, 0.75], 2: [1.0, 0.0]}  # of the networks of each fold
ANSWERS = {0: 40, 1: 40, 2: 20}


def finished(fold, seed=0, swept=None, accuracy=None):
    numbers = accuracy or ACCURACY[fold]
    test = {"n": ANSWERS[fold] // 2, "answers": ANSWERS[fold]}
    test |= {kind: list(numbers) for kind in ("accuracy", "loss", "sequence_accuracy")}
    config = {"task": {"folds": 3, "fold": fold}, "trainer": {}}
    config["trainer"] = {"accumulate_grad_batches": 1, "val_check_interval": 1.0, "max_steps": -1}
    config["trainer"]["limit_train_batches"] = 1.0
    result = {"seed": seed, "config": config, "metrics": {"test": test, "train": {"loss": list(numbers)}}}
    choices = (swept or {}) | {"task.fold": fold}
    name = ",".join(f"{key}={value}" for key, value in choices.items())
    return SweepRow(name, "done", choices, networks=networks_of(result, []), result=result)


def test_all_sequences_count_alike_and_folds_count_alike():
    (setting,) = settings_of([finished(fold) for fold in range(3)])
    found = fold_metrics(setting)
    assert list(found) == ["fold 0", "fold 1", "fold 2", "mean of 3 folds", "all sequences"]
    assert [found[f"fold {fold}"]["accuracy"] for fold in range(3)] == list(ACCURACY.values())
    assert found["mean of 3 folds"]["accuracy"] == [0.75, 0.5, 0.5]
    pooled = [sum(ACCURACY[fold][seed] * ANSWERS[fold] for fold in range(3)) / 100 for seed in range(2)]
    assert found["all sequences"]["accuracy"] == pytest.approx(pooled)
    assert (found["all sequences"]["n"], found["all sequences"]["answers"]) == (50, 100)


def test_runs_of_several_seeds_join_their_fold():
    rows = [finished(fold, seed, {"seed": seed}, [0.1 * (fold + seed)]) for seed in (0, 1) for fold in range(3)]
    (setting,) = settings_of(rows)
    found = fold_metrics(setting)
    assert setting.name == "all folds" and found["fold 2"]["accuracy"] == pytest.approx([0.2, 0.3])
    assert found["all sequences"]["accuracy"] == pytest.approx([0.08, 0.18])


def test_a_network_that_has_failed_in_a_fold_has_not_answered_all():
    rows = [finished(0, accuracy=[0.5, None]), finished(1), finished(2)]
    found = fold_metrics(settings_of(rows)[0])
    assert found["mean of 3 folds"]["accuracy"][0] == 0.5
    assert found["all sequences"]["accuracy"] == [pytest.approx(0.5), None]
    assert "(1 failed)" in fold_table(rows)


def test_unfinished_folds_are_told():
    rows = [finished(0), finished(2), SweepRow("task.fold=1", "running", {"task.fold": 1})]
    assert list(fold_metrics(settings_of(rows)[0])) == ["fold 0", "fold 2", "mean of 2 of 3 folds"]
    assert fold_table([finished(0)]) == "" and fold_table([]) == ""


def test_settings_have_their_own_rows():
    rows = [finished(fold, swept={"model.hidden": size}) for size in (2, 3) for fold in range(3)]
    lines = fold_table(rows).splitlines()
    assert [line.split("  ")[0] for line in lines[2:12:5]] == ["model.hidden=2, fold 0", "model.hidden=3, fold 0"]
    many = [finished(fold, swept={"model.hidden": size}) for size in range(20) for fold in range(3)]
    assert "fold 0" not in fold_table(many) and fold_table(many).count("all sequences  ") == 20


def test_the_interval_of_a_setting_is_over_its_folds():
    import torch

    numbers = numbers_of([each for fold in range(3) for each in finished(fold).networks], "test", "accuracy")
    assert numbers == [fmean(each) for each in ACCURACY.values()]
    low, high = interval(torch.tensor(numbers, dtype=torch.float64))
    assert f"[{low * 100:.2f}, {high * 100:.2f}]" in fold_table([finished(fold) for fold in range(3)])
    alone = Network(0, False, {"test": {"accuracy": 0.5}}, None, None, fold=1)
    assert numbers_of([alone, alone], "test", "accuracy") == [0.5, 0.5]
