"""What one would write without this project: training in plain PyTorch, to measure it against (JAX: jax_peer.py).

Each peer begins with given weights and takes optimizer steps on batches that it draws from tensors in memory. Weights
are six tensors with a leading axis R of networks, in the order of torch.nn: w_ih, w_hh, b_ih, b_hh, w, b (the last two
of the read-out).
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from rnn_tasks.tasks.examples import Batch

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM}
BIASES = (2, 3, 5)  # among the six tensors


@dataclass(frozen=True)
class Work:
    """What a step consists of, for the project and its peers alike.

    Attributes:
        loss: "bce", "mse" or "ce".
        padded: whether sequences differ in length, so that the mean is over real answers alone.
        clip: the largest norm of a network's gradient, 0 for no limit.
        decay_steps: of the cosine schedule, 0 for a constant rate.
        optimizer: arguments of Adam or SGD.
    """

    loss: str
    padded: bool
    clip: float
    decay_steps: int
    optimizer: dict[str, Any]

    @classmethod
    def of(cls, cfg, total_steps):
        """Read the work from the configuration of a run and the number of its steps."""
        lengths = cfg.task.get("lengths") or [0, 0]
        return cls(
            loss=cfg.loss._target_.rpartition(".")[2],
            padded=lengths[0] < lengths[1],
            clip=cfg.trainer.gradient_clip_val,
            decay_steps=total_steps if cfg.scheduler else 0,
            optimizer={str(key): value for key, value in cfg.optimizer.items() if not str(key).startswith("_")},
        )


def build_peer(make, cfg, learner, examples):
    """Return the peer of a run that is about to begin: same start, same work, same examples."""
    start = [parameter.detach().clone() for parameter in learner.model.parameters()]
    return make(cfg.model.cell, start, examples, cfg.task.batch_size, Work.of(cfg, learner.schedule.total_steps))


def shares(batch):
    """Weights that turn the losses of answers into a mean for each network: [..., B, T]; 0 in the padding."""
    real = (torch.arange(batch.targets.shape[-1]) < batch.lengths[..., None]).to(batch.inputs.dtype)
    return real / real.sum((-1, -2), keepdim=True)


class TorchPeer:
    """The part of a training loop that does not depend on the network."""

    leading = ()  # axes of a step's batches before B
    scheduler = None

    def __init__(self, examples, batch, work):
        self.examples, self.batch, self.work = examples, batch, work

    def take_steps(self, count):
        """Take steps with batches that are drawn one by one."""
        for index in torch.randint(len(self.examples), (count, *self.leading, self.batch)).unbind():
            self.step(self.examples[index])

    def learn(self, chunk):
        """Take a step with each of N batches [N, R, ...]; a single network takes those of the first of R."""
        parts = chunk if self.leading else [part[:, 0] for part in chunk]
        for batch in map(Batch, *parts):
            self.step(batch)

    def step(self, batch):
        loss = self.loss(batch)
        self.optimizer.zero_grad()
        loss.backward()
        if self.work.clip:
            self.clip()
        self.optimizer.step()
        if self.scheduler:
            self.scheduler.step()


class AdderPeer(TorchPeer):
    """Adam, its schedule and the loss of the adder."""

    def __init__(self, parameters, examples, batch, work):
        super().__init__(examples, batch, work)
        self.parameters = parameters
        self.optimizer = torch.optim.Adam(parameters, **work.optimizer)
        if work.decay_steps:
            self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, work.decay_steps)

    def loss(self, batch):
        """The mean over the answers of a network, summed over the networks."""
        logits, targets = self.logits(batch.inputs), batch.targets
        if self.work.loss == "bce":
            losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        else:
            losses = (logits.sigmoid() - targets).square()
        return (losses * shares(batch)).sum() if self.work.padded else losses.mean((-1, -2)).sum()


class Net(nn.Module):
    """One network as torch.nn has it, with the weights of the first of R."""

    def __init__(self, cell, start):
        super().__init__()
        features, (outputs, hidden) = start[0].shape[2], start[4].shape[1:]
        self.recurrent = CELLS[cell](features, hidden, batch_first=True)
        self.head = nn.Linear(hidden, outputs)
        self.to(start[0].dtype)
        with torch.no_grad():
            for parameter, values in zip(self.parameters(), start, strict=True):
                parameter.copy_(values[0])

    def weights(self):
        return [parameter.detach()[None] for parameter in self.parameters()]


class PlainAdder(AdderPeer):
    """One network, nn.RNN or nn.LSTM."""

    def __init__(self, cell, start, examples, batch, work):
        self.net = Net(cell, start)
        super().__init__(list(self.net.parameters()), examples, batch, work)

    def weights(self):
        return self.net.weights()

    def logits(self, inputs):
        return self.net.head(self.net.recurrent(inputs)[0]).squeeze(-1)

    def clip(self):
        nn.utils.clip_grad_norm_(self.parameters, self.work.clip)


class PlainMnist(TorchPeer):
    """One network that reads images, nn.RNN or nn.LSTM, without clipping and schedule."""

    def __init__(self, cell, start, examples, batch, work):
        super().__init__(examples, batch, work)
        self.net = Net(cell, start)
        self.optimizer = torch.optim.SGD(self.net.parameters(), **work.optimizer)

    def weights(self):
        return self.net.weights()

    def loss(self, batch):
        return F.cross_entropy(self.net.head(self.net.recurrent(batch.inputs)[0][:, -1]), batch.targets)


class StackedAdder(AdderPeer):
    """R networks in one loop of baddbmm over the steps, by autograd."""

    def __init__(self, cell, start, examples, batch, work):
        columns = [each[..., None] if number in BIASES else each for number, each in enumerate(start)]
        super().__init__([nn.Parameter(each.clone()) for each in columns], examples, batch, work)
        self.cell, self.leading = cell, (len(start[0]),)

    def weights(self):
        tensors = [parameter.detach() for parameter in self.parameters]
        return [each[..., 0] if number in BIASES else each for number, each in enumerate(tensors)]

    def logits(self, inputs):
        w_ih, w_hh, b_ih, b_hh, w, b = self.parameters
        (replicates, batch, *_), hidden = inputs.shape, w_hh.shape[2]
        inputs = inputs.permute(0, 3, 2, 1)  # [R, B, T, D] -> [R, D, T, B]
        projected = torch.baddbmm(b_ih + b_hh, w_ih, inputs.flatten(2)).unflatten(2, inputs.shape[2:])
        h = c = inputs.new_zeros(replicates, hidden, batch)
        states = []
        for x in projected.unbind(2):
            pre = torch.baddbmm(x, w_hh, h)
            if self.cell == "rnn":
                h = pre.tanh()
            else:
                i, f, g, o = pre.chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
            states.append(h)
        return torch.baddbmm(b, w, torch.stack(states, 2).flatten(2)).view(replicates, -1, batch).mT

    def clip(self):
        """Limit the norm of each network's gradient."""
        gradients = [parameter.grad for parameter in self.parameters]
        norms = torch.cat([gradient.flatten(1) for gradient in gradients], 1).norm(dim=1)
        scales = (self.work.clip / (norms + 1e-6)).clamp(max=1.0)[:, None, None]
        for gradient in gradients:
            gradient.mul_(scales)
