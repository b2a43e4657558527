"""R networks that learn to add, in JAX and optax by vmap and scan, to measure this project against.

It is called step by step from Python, and for many steps at once.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax
import jax.numpy as jnp
import optax
import torch

from benchmarks.peers import shares

DRAWN = 20  # batches, drawn before anything is timed and taken in turn


def to_jax(batch):
    """Inputs [..., T, B, D], and weights and targets of answers [..., T, B]."""
    parts = batch.inputs.transpose(-2, -3), shares(batch).mT, batch.targets.mT
    return tuple(jnp.asarray(part.numpy()) for part in parts)


def mean_loss(cell, work, parameters, inputs, weights, targets):
    """The loss of one network on its batch."""
    w_ih, w_hh, b_ih, b_hh, w, b = parameters

    def rnn(h, x):
        h = jnp.tanh(x + h @ w_hh)
        return h, h

    def lstm(state, x):
        h, c = state
        i, f, g, o = jnp.split(x + h @ w_hh, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    start = jnp.zeros((inputs.shape[1], len(w_hh)), inputs.dtype)
    projected = inputs @ w_ih + b_ih + b_hh
    _, states = jax.lax.scan(*((rnn, start) if cell == "rnn" else (lstm, (start, start))), projected)
    logits = (states @ w + b)[..., 0]
    if work.loss == "bce":
        losses = optax.sigmoid_binary_cross_entropy(logits, targets)
    else:
        losses = (jax.nn.sigmoid(logits) - targets) ** 2
    return jnp.sum(losses * weights) if work.padded else jnp.mean(losses)


def build_optimizer(work):
    """Adam with weight decay and, where they are part of the work, clipping and a cosine schedule."""
    rate = work.optimizer["lr"]
    schedule = optax.cosine_decay_schedule(rate, work.decay_steps) if work.decay_steps else rate
    clip = [optax.clip_by_global_norm(work.clip)] if work.clip else []
    return optax.chain(*clip, optax.add_decayed_weights(work.optimizer["weight_decay"]), optax.adam(schedule))


class JaxAdder:
    """R networks, a compiled call for each step; built and used like the peers in PyTorch."""

    def __init__(self, cell, start, examples, batch, work):
        optimizer = build_optimizer(work)

        def step(parameters, state, *batch):
            gradients = jax.grad(lambda parameters: mean_loss(cell, work, parameters, *batch))(parameters)
            updates, state = optimizer.update(gradients, state, parameters)
            return optax.apply_updates(parameters, updates), state

        self.compiled = jax.jit(self.call(jax.vmap(step)), donate_argnums=(0, 1))
        self.parameters = [jnp.array(each.mT.numpy() if each.dim() == 3 else each.numpy()) for each in start]
        self.state = jax.vmap(optimizer.init)(self.parameters)
        self.drawn = self.prepare(examples[torch.randint(len(examples), (DRAWN, len(start[0]), batch))])

    def call(self, step):
        """Return what is compiled, made of a step of all networks."""
        return step

    def prepare(self, chunk):
        """Return the arguments of the compiled calls for N batches [N, R, ...]."""
        return list(zip(*to_jax(chunk), strict=True))

    def weights(self):
        tensors = [torch.tensor(jax.device_get(each)) for each in self.parameters]
        return [each.mT if each.dim() == 3 else each for each in tensors]

    def take_steps(self, count):
        """Take steps with the batches drawn before; ``count`` must be a multiple of DRAWN."""
        assert count % DRAWN == 0
        for _ in range(count // DRAWN):
            self.train_on(self.drawn)
        jax.block_until_ready(self.parameters)

    def learn(self, chunk):
        """Take a step with each of N batches [N, R, ...]."""
        self.train_on(self.prepare(chunk))

    def train_on(self, prepared):
        for arguments in prepared:
            self.parameters, self.state = self.compiled(self.parameters, self.state, *arguments)


class JaxScanAdder(JaxAdder):
    """The same with a compiled call for a chunk of steps."""

    def call(self, step):
        def chunk(parameters, state, *batches):
            return jax.lax.scan(lambda now, batch: (step(*now, *batch), None), (parameters, state), batches)[0]

        return chunk

    def prepare(self, chunk):
        return [to_jax(chunk)]
