"""How the report shows the reading of other handwriting."""

from pathlib import Path

import pytest
import torch
from helpers import trained

from rnn_tasks.errors import UserError
from rnn_tasks.report import kept, robustness
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.finished import Missing
from rnn_tasks.runs import evaluation
from rnn_tasks.tasks import mnist_ood
from rnn_tasks.tasks.base import Examples

pytestmark = pytest.mark.usefixtures("no_pictures")
SMALL = ["model.hidden=4", "model.replicates=2", "task.test_size=40"]


def few_scans(monkeypatch):
    """Let USPS and UCI have 30 images."""
    scans = Examples(*mnist_ood.uci()[torch.arange(30)])
    monkeypatch.setattr(mnist_ood, "usps", lambda data_dir, as_mnist=True: scans)
    monkeypatch.setattr(mnist_ood, "uci", lambda as_mnist=True: scans)


def test_the_tables_and_figures_have_the_reader_beside_the_others(mnist, monkeypatch):
    few = [*SMALL, "trainer.precision=32-true"]
    trained("outputs/one", "experiment=mnist_rnn_adam", *few)
    trained("outputs/reader", "experiment=mnist_handwriting", "model.channels=[2,2]", *few)
    for experiment in ("mnist_ablation", "mnist_ablation_plain"):
        for model in ("lstm", "crnn"):
            trained(f"outputs/{experiment}_{model}", f"experiment={experiment}", f"model={model}", *few)
    few_scans(monkeypatch)
    evidence = Evidence(Path("outputs"))
    (readers, corners), missing = robustness.tables(evidence)
    assert tuple(readers.headings) == ("read", "rnn_adam", "handwriting")
    assert len(missing) == 4 and all("no finished run of" in reason for reason in missing)
    assert tuple(corners.headings) == ("read", *robustness.CORNERS)
    names = [*mnist_ood.sets(evidence.finished[0].load().task), robustness.LAST]
    assert [row[0] for row in readers.rows] == [row[0] for row in corners.rows] == names
    accuracy = evidence.run("mnist_handwriting").metric("test")
    assert readers.rows[0][2].startswith(f"{sum(accuracy) / 2 * 100:.2f} ± ")
    drawings = {drawing.name: drawing for drawing in robustness.figures(evidence)}
    assert set(drawings) == {"ood", "reliability"} and "of handwriting" in drawings["ood"].alt


def test_metrics_are_kept_until_the_weights_or_the_sets_change(mnist, monkeypatch):
    trained("outputs/one", "experiment=mnist_rnn_adam", *SMALL)
    few_scans(monkeypatch)
    measured = []
    original = evaluation.out_of_distribution
    monkeypatch.setattr(evaluation, "out_of_distribution", lambda run: measured.append(run) or original(run))
    run = Evidence(Path("outputs")).run("mnist_rnn_adam")
    first = robustness.measure(run)
    assert robustness.measure(run) == first and len(measured) == 1
    with (run.path / "checkpoints" / "last.ckpt").open("ab") as weights:
        weights.write(b"other weights")
    robustness.measure(run)
    assert len(measured) == 2
    monkeypatch.setitem(kept.VERSIONS, kept.OOD, 99)
    robustness.measure(run)
    monkeypatch.setattr(kept, "NUMERICS", 99)
    robustness.measure(run)
    assert len(measured) == 4
    (run.path / "ood.json").write_text("damaged")
    robustness.measure(run)
    assert len(measured) == 5


def test_without_usps_there_is_no_table(mnist, monkeypatch):
    def usps(data_dir, as_mnist=True):
        raise UserError("USPS is not there")

    trained("outputs/one", "experiment=mnist_rnn_adam", *SMALL)
    monkeypatch.setattr(mnist_ood, "usps", usps)
    evidence = Evidence(Path("outputs"))
    tables, missing = robustness.tables(evidence)
    assert not tables and "USPS is not there" in missing
    with pytest.raises(Missing, match=r"no finished run|USPS is not there"):
        list(robustness.figures(evidence))


def metrics(accuracy, usps=(0.5, 0.7)):
    """Metrics of two replicates on two sets."""
    return {"MNIST": {"accuracy": accuracy}, "USPS": {"accuracy": list(usps), "calibration_error": [0.1, 0.3]}}


def test_accuracies_are_means_with_half_of_their_interval():
    table = robustness.accuracy_table(
        "caption", {"rnn_sgd": metrics([0.9, 0.92]), "handwriting": metrics([0.99, None])}
    )
    assert tuple(table.headings) == ("read", "rnn_sgd", "handwriting") and table.caption == "caption"
    half = 12.7062 * 0.01 * 100  # Student's t of one degree of freedom
    assert table.rows[0] == ("MNIST", f"91.00 ± {half:.2f}", "99.00")
    assert table.rows[-1] == ("calibration error on USPS", "20 %", "20 %")
