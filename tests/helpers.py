"""What several test modules share: where things are, how to train and to run commands, what must be equal."""

import copy
import functools
import io
import json
import os
import signal
import time
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from strokes import sent, written
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnn_tasks import config
from rnn_tasks.errors import Interrupted
from rnn_tasks.models import Network
from rnn_tasks.page.drawing import render
from rnn_tasks.runs import outcome
from rnn_tasks.runs.identity import NUMERICS
from rnn_tasks.runs.run import Run
from rnn_tasks.tasks import Adder
from rnn_tasks.train import train
from rnn_tasks.training import compiled
from rnn_tasks.training.recorder import RunRecorder

REPOSITORY = Path(__file__).parent.parent
DATA = Path(os.environ.get("RNN_TASKS_DATA", REPOSITORY / "data"))
SMALL = [
    "task.train_size=64",
    "task.val_size=32",
    "trainer.max_epochs=2",
    "trainer.enable_progress_bar=false",
    "threads=1",
]


def trained(run, *overrides):
    """Train in this process and return the result."""
    return train(copy.deepcopy(composed(os.getcwd(), *SMALL, *overrides)), Path(run))


@functools.lru_cache
def composed(_place, *overrides):
    """The configuration as in a place; Hydra composes it once, though a test may train with it several times."""
    return config.compose(list(overrides))


def write_result_by_hand(run, metrics, cfg=None, **facts):
    """Write result.json of a run of one or several replicates with these metrics."""
    cfg = copy.deepcopy(cfg or composed(os.getcwd()))
    replicates = max(len(values["loss"]) for values in metrics.values())
    cfg.model.replicates = replicates
    complete = {split: {"n": 8, "chance": 0.5, "by_length": {}} | values for split, values in metrics.items()}
    config = OmegaConf.to_container(cfg)
    result = {"schema": 1, "seed": 0, "replicates": replicates, "seconds": 2.5, "parameters": 1, "numerics": NUMERICS}
    result |= {"task": cfg.task.name, "experiment": None, "fingerprint": "", "config": config, "metrics": complete}
    run.mkdir(parents=True, exist_ok=True)
    (run / "result.json").write_text(json.dumps(result | facts))


@contextmanager
def without_pictures():
    """Training without its plots and TensorBoard's outcome, which take longer than a small run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcome, "show", lambda *_: None)
        yield


def end_of(run):
    """Everything that must be equal at the end of two runs."""
    weights = {
        name: torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
        for name in ("last", "best")
    }
    result = json.loads((run / "result.json").read_text())
    return weights, (run / "history.csv").read_text(), result["metrics"], points(run)


def points(run):
    """Every scalar point of the event files, as TensorBoard's own reader gives them."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def assert_equal_ends(run, reference):
    (weights, *others), (reference_weights, *reference_others) = end_of(run), end_of(reference)
    for name, state in weights.items():
        assert state.keys() == reference_weights[name].keys()
        torch.testing.assert_close(state, reference_weights[name], rtol=0, atol=0, equal_nan=True)
    assert others == reference_others


def stop_after(monkeypatch, *batches, signum=signal.SIGINT):
    """Make the next runs stop as by a signal after so many batches, each once."""
    waiting = list(batches)
    original = RunRecorder.on_train_batch_end

    def hook(self, trainer, *args):
        if waiting and batches_done(trainer) >= waiting[0]:
            waiting.pop(0)
            os.kill(os.getpid(), signum)
        original(self, trainer, *args)

    monkeypatch.setattr(RunRecorder, "on_train_batch_end", hook)


def batches_done(trainer):
    schedule = trainer.datamodule.schedule
    return (
        trainer.current_epoch * schedule.batches
        + schedule.chunks(trainer.current_epoch)[trainer.fit_loop.epoch_loop.batch_idx][1]
    )


def train_with_stops(monkeypatch, run, stops, *words):
    """Train in several sessions, each but the last stopped by a signal."""
    stop_after(monkeypatch, *stops)
    for _ in stops:
        with pytest.raises(Interrupted):
            trained(run, *words)
        assert not (run / "result.json").exists()
        age_events(run)
    trained(run, *words)


def age_events(run):
    """Rename the event files of a run as if they were begun a minute earlier: TensorBoard orders them by the second."""
    for path in run.glob("events.out.tfevents.*"):
        *head, seconds, host = path.name.split(".", 4)
        if host != "outcome":  # whose name puts it behind all others
            path.rename(path.with_name(".".join([*head, str(int(seconds) - 60), host])))


def wait_for(condition, process):
    end = time.time() + 60
    while not condition():
        assert process.poll() is None, process.wait(1)
        assert time.time() < end
        time.sleep(0.01)


def picture(number, kind="PNG"):
    """A picture of a number, black on white."""
    ink = render([np.array(stroke, np.float32).reshape(-1, 2) for stroke in sent(written(number))])
    file = io.BytesIO()
    Image.fromarray(255 - (255 * ink).astype(np.uint8)).save(file, kind)
    return file.getvalue()


def hand_set_adder(*thirds, carry=0.5, task=None):
    """A loaded run of RNNs that add: their units say whether bits and carry make at least 1, 2 and 3.

    Args:
        thirds: for each replicate the weight of the third unit in the answer; with 0 it does not know that 1 + 1 and a
            carry is 1.
        carry: for all replicates or each of them, the weight of the second unit, the carry, at the next step; with 0
            it is forgotten.
        task: an Adder; without, sums of 1 to 6 bits.
    """
    sizes = {"batch_size": 1, "data_seed": 0, "train_size": 1, "val_size": 1, "test_size": 200}
    replicates = len(thirds)
    carries = carry if isinstance(carry, list) else [carry] * replicates
    model = Network(2, 1, "every_step", cell="rnn", hidden=3, replicates=replicates)
    weights = {"weight_ih": [[1.0, 1.0]] * 3, "bias_ih": [-0.25, -1.25, -2.25]}
    with torch.no_grad():
        for r, third in enumerate(thirds):
            for name, value in weights.items():
                model.recurrent[f"{name}_l0"][r] = 60 * torch.tensor(value)
            model.recurrent["weight_hh_l0"][r] = 60 * torch.tensor([[0, carries[r], 0]] * 3)
            model.head["weight"][r] = torch.tensor([[1, -1, third]])
        model.recurrent["bias_hh_l0"].zero_()
        model.head["bias"].fill_(-0.1)
    task = task or Adder(name="adder", lengths=(1, 6), **sizes)
    single = replicates == 1
    cfg = OmegaConf.create({"loss": {"_target_": "rnn_tasks.training.losses.bce", "_partial_": True}})
    return Run(Path(), cfg, task, model, 0 if single else None, [False] * replicates, None)


def spoil(monkeypatch, replicates, step):
    """Let the weights of some replicates become NaN after an optimizer step, in torch or within the kernel."""
    step_of_adam, take_steps = torch.optim.Adam.step, compiled.take_steps

    def spoil_weights(optimizer):
        parameter = optimizer.param_groups[0]["params"][0]
        if optimizer.state[parameter].get("step") == step:
            with torch.no_grad():
                parameter[replicates] = torch.nan

    def spoiling(self, closure=None):
        step_of_adam(self, closure)
        spoil_weights(self)

    def spoiling_steps(cell, chunk, networks, form):
        optimizer, count = networks[0].optimizer, len(chunk.inputs)
        states = optimizer.state[networks[0].parameters[0]]
        first = min(max(step - int(states.get("step", 0)), 0), count)
        parts = []
        for rows in (slice(0, first), slice(first, count)):
            if rows.stop > rows.start:
                own = [each._replace(rates=each.rates[rows]) for each in networks]
                parts.append((rows.start, take_steps(cell, chunk.each(itemgetter(rows)), own, form)))
                spoil_weights(optimizer)
        return [joined_steps([(start, steps[number]) for start, steps in parts]) for number in range(len(networks))]

    monkeypatch.setattr(torch.optim.Adam, "step", spoiling)
    monkeypatch.setattr(compiled, "take_steps", spoiling_steps)


def joined_steps(parts):
    """Steps of the kernel one after the other, each with the number of its first."""
    losses, norms = (torch.cat([getattr(steps, name) for _, steps in parts]) for name in ("losses", "norms"))
    failed = torch.full_like(parts[0][1].failed, -1)
    for start, steps in parts:
        new = (failed < 0) & (steps.failed >= 0)
        failed[new] = steps.failed[new] + start
    return compiled.Steps(losses, norms, failed)
