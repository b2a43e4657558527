"""A network written out for somebody who does not have this project."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from forked import command
from helpers import DATA, trained

import rnn_tasks
from rnn_tasks import runs
from rnn_tasks.errors import UserError
from rnn_tasks.models.plain import PlainNetwork
from rnn_tasks.runs import export

STRANGER = """
import sys, torch
from torch import nn

for replicate in sys.argv[1:]:
    state = torch.load(f"{replicate}.pt", weights_only=True)
    recurrent = nn.LSTM(2, 4, num_layers=2, bidirectional=True, batch_first=True)
    head = nn.Linear(8, 1)
    nn.ModuleDict({"recurrent": recurrent, "head": head}).load_state_dict(state)
    inputs = torch.load("inputs.pt", weights_only=True)
    torch.save(head(recurrent(inputs)[0]), f"logits_{replicate}.pt")
assert "rnn_tasks" not in sys.modules
"""


def test_state_dict_gives_the_same_outputs_without_this_project(workplace):
    trained("outputs/adder/one", "model=bilstm", "model.hidden=4", "model.layers=2", "model.replicates=3")
    inputs = torch.randn(3, 7, 2)
    torch.save(inputs, "inputs.pt")
    for replicate in ("2", "best"):
        ended = command("export", "adder", "--replicate", replicate, "--to", f"{replicate}.pt")
        assert ended.returncode == 0 and "LSTM(2, 4, num_layers=2" in ended.stdout
    subprocess.run([sys.executable, "-c", STRANGER, "2", "best"], check=True)
    for replicate in (2, "best"):
        ours = runs.load("adder", replicate=replicate).logits(inputs, torch.full((3,), 7))
        torch.testing.assert_close(torch.load(f"logits_{replicate}.pt", weights_only=True), ours.detach())


@pytest.mark.parametrize("words", [["model=crnn"], ["model=bilstm", "model.pooling=mean"], ["model=birnn"]])
def test_torch_modules_of_image_readers_give_the_same_logits(mnist, words):
    trained("run", "task=mnist", *words, "model.hidden=8", "model.replicates=2", "task.test_size=20")
    run = runs.load("run")
    run.task.setup()
    (images,) = run.task.test
    with torch.inference_mode():
        ours = run.logits(images.inputs, images.lengths)
        torch.testing.assert_close(PlainNetwork(run.model)(images.inputs), ours)


def test_modules_have_the_precision_of_the_weights_and_an_onnx_graph_single_precision(workplace, monkeypatch):
    trained("run", "trainer.precision=64-true", "task.test_size=2")
    run = runs.load("run")
    inputs = torch.randn(3, 7, 2, dtype=torch.float64)
    logits = run.logits(inputs, torch.full((3,), 7)).detach()
    parts = run.to_torch()
    torch.testing.assert_close(parts["head"](parts["recurrent"](inputs)[0]).detach(), logits, rtol=1e-12, atol=1e-12)
    graphs = []
    monkeypatch.setattr(torch.onnx, "export", lambda graph, examples, *_, **__: graphs.append((graph, *examples)))
    export.as_onnx(run, Path("model.onnx"))
    ((graph, example),) = graphs
    assert graph(example).dtype == example.dtype == torch.float32
    torch.testing.assert_close(graph(inputs.float()).detach().double(), logits, rtol=1e-4, atol=1e-5)
    assert next(run.model.parameters()).dtype == torch.float64


@pytest.mark.skipif(not find_spec("onnxruntime") or not find_spec("onnx"), reason="onnx or onnxruntime is not there")
@pytest.mark.parametrize("words", [["model=gru"], ["task=memory", "model=birnn", "model.layers=2"]])
def test_onnx_graph_gives_the_same_outputs(workplace, words):
    import onnxruntime

    trained("outputs/run", *words)
    ended = command("export", "outputs/run", "--to", "model.onnx", "--onnx")
    assert ended.returncode == 0, ended.stderr
    run = runs.load("outputs/run")
    inputs = torch.randn(5, 8, run.task.input_size)
    session = onnxruntime.InferenceSession("model.onnx")
    (logits,) = session.run(None, {"inputs": inputs.numpy()})
    ours = run.logits(inputs, torch.full((5,), 8)).detach()
    torch.testing.assert_close(torch.from_numpy(logits), ours, rtol=1e-4, atol=1e-5)


def test_export_as_a_run_of_its_own(mnist):
    trained("run", "task=mnist", "model.hidden=8", "model.replicates=3", "task.test_size=20")
    ended = command("export", "run", "--run", "--to", "alone")
    assert ended.returncode == 0, ended.stderr
    best, alone = runs.load("run"), runs.load("alone")
    best.task.setup()
    (images,) = best.task.test
    with torch.inference_mode():
        assert torch.equal(best.logits(images.inputs, images.lengths), alone.logits(images.inputs, images.lengths))
        said = best.logits(images.inputs, images.lengths).argmax(-1)
    assert alone.result["metrics"]["test"]["accuracy"] == [(said == images.targets).double().mean().item()]
    assert alone.result["replicates"] == 1 and alone.config.seed == best.replicate
    written = "".join(path.read_text() for path in Path("alone").glob("*.*"))
    assert str(DATA.resolve()) not in written and "rnn_tasks.export RUN --run --weights best --replicate" in written
    assert alone.result["experiment"] is None and alone.result["fingerprint"] == runs.fingerprint(alone.config)
    nowhere = command("export", "run", "--run", "--to", "/proc/alone")
    assert nowhere.returncode == 2 and nowhere.stderr.splitlines()[-1].startswith("error: --to /proc/alone: cannot")
    again = command("export", "run", "--run", "--to", "alone")
    assert again.returncode == 2 and again.stderr.endswith("name a new directory, or delete it\n")


def test_exported_run_is_measured_with_its_only_weights(workplace, no_pictures, call):
    trained("run", "model.replicates=2", "task.test_size=2")
    assert call("export", "run", "--run", "--to", "alone")[0] == 0
    status, out, err = call("evaluate", "alone", "--json")
    assert (status, err) == (0, "alone, best weights\n")
    assert json.loads(out)["test"] == rnn_tasks.evaluate("alone")
    assert rnn_tasks.evaluate("alone").items() >= runs.load("alone").result["metrics"]["test"].items()
    assert call("evaluate", "run")[2].startswith("run, last weights, ")
    status, _, err = call("evaluate", "alone", "--weights", "last")
    assert status == 2 and "last.ckpt: is missing" in err


def test_bad_input_is_refused_in_one_line(workplace):
    trained("outputs/adder/one")
    for words, message in (
        (["adder"], "--to"),
        (["adder", "--to", "no/where.pt"], "--to no/where.pt: must be a file in a directory that exists"),
        (["adder", "--to", "."], "must be a file in a directory that exists"),
        (["adder", "--to", "/proc/model.pt"], "--to /proc/model.pt: cannot be written"),
        (["adder", "--to", "x.pt", "--replicate", "all"], "a file holds one network"),
        (["adder", "--to", "x.pt", "--replicate", "1"], "has 1, counted from 0"),
        (["nowhere", "--to", "x.pt"], "no such run"),
    ):
        ended = command("export", *words)
        assert ended.returncode == 2 and message in ended.stderr and ended.stderr.count("\n") == 1
    if not find_spec("onnx"):
        ended = command("export", "adder", "--to", "x.onnx", "--onnx")
        assert ended.returncode == 2 and "pip install onnx" in ended.stderr


def test_models_that_torch_lacks_are_refused(tmp_path):
    trained(tmp_path, "model=rnn", "model.cell=test_models.add", "model.replicates=2")
    with pytest.raises(UserError, match=r"torch\.nn has no module like the cell add"):
        runs.load(tmp_path).to_torch()
    trained(tmp_path / "attention", "model=transformer", "model.replicates=2")
    with pytest.raises(UserError, match=r"torch\.nn has no modules like those of Transformer"):
        runs.load(tmp_path / "attention").to_torch()
    trained(tmp_path / "two", "model=rnn", "model.replicates=2")
    with pytest.raises(UserError, match="these are 2 replicates"):
        runs.load(tmp_path / "two", replicate="all").to_torch()
