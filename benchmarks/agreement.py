"""Do the peers take the same steps as the project? Compared in float64, so that neither side can drift.

A run of the real Trainer and the peers begin with the same weights and get the same batches. Clipping limits every
gradient here, and the cosine schedule ends with the last step, so that leaving out either of them shows.
"""

import tempfile
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.pytorch.callbacks import Callback

from benchmarks.peers import build_peer
from rnn_tasks import config
from rnn_tasks.training.session import build_session
from rnn_tasks.training.signals import StopSignals

LIMIT = 1e-5  # of the difference between two weights
STEPS = 12
SMALL = ["trainer.max_epochs=2", "trainer.limit_val_batches=0", "trainer.precision=64-true"]
SMALL += ["trainer.enable_progress_bar=false", "trainer.accelerator=cpu"]


class SameBatches(Callback):
    """Gives each peer the batches of the Trainer.

    Args:
        cfg: the configuration of the run.
        contenders: classes of peers, by name.
    """

    def __init__(self, cfg, contenders):
        self.cfg, self.contenders, self.differences = cfg, contenders, {}

    def on_train_start(self, trainer, learner):
        self.peers = {
            name: build_peer(make, self.cfg, learner, trainer.datamodule.train)
            for name, make in self.contenders.items()
        }

    def on_train_batch_start(self, trainer, learner, chunk, index):
        with torch.enable_grad():
            for peer in self.peers.values():
                peer.learn(chunk._replace(inputs=chunk.inputs.double(), targets=in_double(chunk.targets)))

    def on_train_end(self, trainer, learner):
        for name, peer in self.peers.items():
            pairs = zip(learner.model.parameters(), peer.weights(), strict=True)
            self.differences[name] = max((own[: len(its)] - its).abs().max().item() for own, its in pairs)


def in_double(targets):
    """Bits as float64; numbers of classes stay whole."""
    return targets.double() if targets.is_floating_point() else targets


@contextmanager
def double_in_jax():
    """Let JAX compute in float64, where it is installed."""
    try:
        import jax
    except ImportError:
        yield
        return
    jax.config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", False)


def differences(words, contenders):
    """The largest difference of a weight after STEPS steps, for each peer.

    Args:
        words: of the run.
        contenders: classes of peers, by name.
    """
    with tempfile.TemporaryDirectory() as directory, double_in_jax():
        cfg = config.compose([*words, *SMALL])
        compared = SameBatches(cfg, contenders)
        session = build_session(cfg, Path(directory), StopSignals(), (compared,))
        session.fit()
        assert session.trainer.global_step == STEPS
    return compared.differences


def require_same_steps(runs):
    """Print how far the peers are from the project.

    Args:
        runs: by name, words and contenders.

    Raises:
        SystemExit: a peer does other work.
    """
    print(f"Largest difference of a weight from the project's after {STEPS} steps in float64")
    for run, (words, contenders) in runs.items():
        found = differences(words, contenders)
        print(f"{run}: {'; '.join(f'{name} {difference:.0e}' for name, difference in found.items())}", flush=True)
        wrong = [name for name, difference in found.items() if not difference < LIMIT]
        if wrong:
            raise SystemExit(f"{run}: other steps than the project's are taken by {' and '.join(wrong)}")
    print()
