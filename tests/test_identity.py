"""The fingerprint of a run: what changes it, and what does not."""

import pytest
from omegaconf import OmegaConf

from rnn_tasks import config
from rnn_tasks.runs import fingerprint, identity

PLAIN = ["callbacks=[]"]


def of(*overrides):
    return fingerprint(config.compose([*PLAIN, *overrides]))


@pytest.mark.parametrize(
    "words",
    [
        ["threads=3"],
        ["data_dir=/elsewhere"],
        ["logger=csv"],
        ["trainer.enable_progress_bar=false"],
        ["trainer.enable_model_summary=true"],
        ["trainer.log_every_n_steps=7"],
        ["trainer.profiler=simple"],
    ],
    ids=lambda words: words[0],
)
def test_what_a_run_shows_and_where_it_lies_does_not_change_its_fingerprint(words):
    assert of(*words) == of()


@pytest.mark.parametrize(
    "words",
    [
        ["seed=1"],
        ["task=memory"],
        ["task.batch_size=16"],
        ["model.hidden=6"],
        ["model.replicates=2"],
        ["optimizer=sgd"],
        ["scheduler=none"],
        ["loss=mse"],
        ["trainer.max_epochs=3"],
        ["trainer.precision=64-true"],
        ["callbacks=[weight_norms]"],
    ],
    ids=lambda words: words[0],
)
def test_what_decides_the_numbers_changes_the_fingerprint(words):
    assert of(*words) != of()


def test_order_of_the_keys_does_not_change_the_fingerprint():
    cfg = config.compose(PLAIN)
    plain = OmegaConf.to_container(cfg)
    backwards = {key: dict(reversed(part.items())) if isinstance(part, dict) else part for key, part in plain.items()}
    assert fingerprint(OmegaConf.create(dict(reversed(backwards.items())))) == fingerprint(cfg)


def test_numerics_change_the_fingerprint(monkeypatch):
    before = of()
    monkeypatch.setattr(identity, "NUMERICS", identity.NUMERICS + 1)
    assert of() != before
