"""Runs of version 0.1 stay readable."""

import json

import pytest
from omegaconf import OmegaConf

from rnn_tasks import config, runs
from rnn_tasks.config import instantiated
from rnn_tasks.runs.migration import migrated
from rnn_tasks.training import losses

VERSION_0_1 = """
seed: 3
name: one
data_dir: data
threads: 1
trainer:
  accelerator: auto
  devices: 1
  strategy: auto
  num_nodes: 1
  precision: 32-true
  max_epochs: 2
  patience: 0
  gradient_clip_val: 1.0
  min_epochs: null
  max_steps: -1
  min_steps: null
  max_time: null
  gradient_clip_algorithm: norm
  accumulate_grad_batches: 1
  limit_train_batches: 1.0
  limit_val_batches: 1.0
  limit_test_batches: 1.0
  val_check_interval: 1.0
  check_val_every_n_epoch: 1
  log_every_n_steps: 50
  enable_progress_bar: true
  enable_model_summary: false
  fast_dev_run: false
  deterministic: false
  detect_anomaly: false
  profiler: null
model: {_target_: rnn_tasks.models.Network, cell: lstm, bidirectional: false, hidden: 5, layers: 1, dropout: 0.0,
  init: null, replicates: 1}
optimizer: {_target_: torch.optim.Adam, _partial_: true, lr: 0.01, weight_decay: 0.0005, fused: true}
scheduler: {_target_: torch.optim.lr_scheduler.CosineAnnealingLR, _partial_: true}
loss: {_target_: rnn_tasks.losses.bce, _partial_: true}
logger: {_target_: rnn_tasks.tensorboard.TensorBoard, name: '', version: '', default_hp_metric: false}
task: {_target_: rnn_tasks.tasks.Adder, name: adder, losses: [bce, mse], lr: {adam: 0.01, sgd: 0.3}, batch_size: 8,
  data_seed: 0, train_size: 10, val_size: 10, test_size: 2, lengths: [1, 20], test_lengths: [1, 20], order: lsb}
experiment: null
"""


@pytest.fixture
def run(tmp_path):
    """A directory with the configuration and the result of a run of version 0.1."""
    (tmp_path / "config.yaml").write_text(VERSION_0_1)
    content = OmegaConf.to_container(OmegaConf.create(VERSION_0_1))
    shares = {"loss": [0.5], "accuracy": [0.5], "sequence_accuracy": [0.5]}
    result = {"metrics": {"train": shares}, "parameters": 1, "seconds": 1.0, "seed": 3, "replicates": 1, "schema": 1}
    result |= {"task": "adder", "experiment": None, "fingerprint": "0", "config": content}
    (tmp_path / "result.json").write_text(json.dumps(result))
    return tmp_path


def test_configuration_of_version_0_1_is_read_in_todays_form(run):
    cfg = runs.read_config(run)
    assert cfg.loss._target_ == "rnn_tasks.training.losses.bce"
    assert dict(cfg.logger) == {
        "tensorboard": {
            "_target_": "rnn_tasks.training.tensorboard_logger.TensorBoard",
            **{"name": "", "version": "", "default_hp_metric": False},
        }
    }
    assert cfg.callbacks == {} and not {"strategy", "num_nodes"} & set(cfg.trainer)
    assert cfg.trainer.devices == 1 and cfg.model._target_ == "rnn_tasks.models.Network"
    assert OmegaConf.to_container(cfg) == runs.read_result(run)["config"]


def test_fingerprint_of_a_stored_run_stays_as_it_was(run):
    assert runs.fingerprint(runs.read_config(run)) == "014f7268cb3f7cf5036f659fe618e031"


def test_run_of_version_0_1_builds(run):
    cfg = runs.read_config(run)
    task, model = config.build(cfg)
    assert task.name == "adder" and model.replicates == 1
    assert instantiated("loss", cfg.loss).func is losses.bce
    assert len(runs.fingerprint(cfg)) == 32


def test_a_run_of_mnist_from_before_there_were_several_readings_reads_rows():
    cfg = config.compose(["task=mnist"])
    before = OmegaConf.to_container(cfg, resolve=True)
    del before["task"]["read"]
    assert migrated(before)["task"]["read"] == "rows"
    assert runs.fingerprint(OmegaConf.create(before)) == runs.fingerprint(cfg)
    columns = config.compose(["task=mnist", "task.read=columns"])
    assert runs.fingerprint(columns) != runs.fingerprint(cfg)
    assert migrated(OmegaConf.to_container(columns))["task"]["read"] == "columns"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("lightning.pytorch.loggers.CSVLogger", "csv"),
        ("lightning.pytorch.loggers.WandbLogger", "wandb"),
        ("my_module.Mine", "mine"),
    ],
)
def test_single_logger_gets_its_name(target, name):
    content = OmegaConf.to_container(OmegaConf.create(VERSION_0_1)) | {"logger": {"_target_": target}}
    assert migrated(content)["logger"] == {name: {"_target_": target}}


def test_todays_configuration_stays_as_it_is(run):
    today = OmegaConf.to_container(runs.read_config(run))
    assert migrated(today) == today
