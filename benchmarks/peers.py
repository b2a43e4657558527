"""What one would write without this project: training loops in plain PyTorch and in JAX, to measure it against.

Each takes tensors in memory and gives a function that takes n optimizer steps. All minimize the same loss with Adam and
weight decay, on batches of their own; those of many networks have an axis R of replicates in front of everything.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import torch
import torch.nn.functional as F
from torch import nn

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM}
WORDS = {"lr": 0.01, "weight_decay": 5e-4}


def squared_error(logits, targets):
    return (logits.sigmoid() - targets).square().mean()


class Plain(nn.Module):
    """One network as torch.nn has it."""

    def __init__(self, cell, features, hidden, outputs):
        super().__init__()
        self.recurrent = CELLS[cell](features, hidden, batch_first=True)
        self.head = nn.Linear(hidden, outputs)


def plain_adder(cell, hidden, batch, examples):
    """One network, nn.RNN or nn.LSTM."""
    net = Plain(cell, examples.inputs.shape[2], hidden, 1)
    optimizer = torch.optim.Adam(net.parameters(), fused=True, **WORDS)

    def steps(n):
        for index in torch.randint(len(examples), (n, batch)).unbind():
            states, _ = net.recurrent(examples.inputs[index])
            loss = squared_error(net.head(states).squeeze(-1), examples.targets[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return steps


def plain_mnist(cell, hidden, batch, examples):
    """One network that reads images, nn.RNN or nn.LSTM."""
    net = Plain(cell, 28, hidden, 10)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)

    def steps(n):
        for index in torch.randperm(len(examples))[: n * batch].split(batch):
            states, _ = net.recurrent(examples.inputs[index])
            loss = F.cross_entropy(net.head(states[:, -1]), examples.targets[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return steps


def stacked_adder(cell, hidden, batch, examples, replicates):
    """R networks in one loop of baddbmm over the steps, by autograd."""
    features, rows = examples.inputs.shape[2], (4 if cell == "lstm" else 1) * hidden
    shapes = (rows, features), (rows, hidden), (rows, 1), (rows, 1), (1, hidden), (1, 1)
    w_ih, w_hh, b_ih, b_hh, w, b = parameters = [
        nn.Parameter(torch.empty(replicates, *shape).uniform_(-(hidden**-0.5), hidden**-0.5)) for shape in shapes
    ]
    optimizer = torch.optim.Adam(parameters, fused=True, **WORDS)

    def steps(n):
        for index in torch.randint(len(examples), (n, replicates, batch)).unbind():
            inputs = examples.inputs[index].permute(0, 3, 2, 1)  # [R, B, T, D] -> [R, D, T, B]
            projected = torch.baddbmm(b_ih + b_hh, w_ih, inputs.flatten(2)).unflatten(2, inputs.shape[2:])
            h = c = torch.zeros(replicates, hidden, batch)
            states = []
            for x in projected.unbind(2):
                pre = torch.baddbmm(x, w_hh, h)
                if cell == "rnn":
                    h = pre.tanh()
                else:
                    i, f, g, o = pre.chunk(4, 1)
                    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                    h = o.sigmoid() * c.tanh()
                states.append(h)
            logits = torch.baddbmm(b, w, torch.stack(states, 2).flatten(2)).view(replicates, -1, batch).mT
            loss = (logits.sigmoid() - examples.targets[index]).square().mean((1, 2)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return steps


def jax_adder(cell, hidden, batch, examples, replicates):
    """R networks by vmap, scan and jit; None where jax or optax is not installed."""
    try:
        import jax
        import jax.numpy as jnp
        import optax
    except ImportError:
        return None
    features, rows = examples.inputs.shape[2], (4 if cell == "lstm" else 1) * hidden
    optimizer = optax.chain(optax.add_decayed_weights(WORDS["weight_decay"]), optax.adam(WORDS["lr"]))

    def init(key):
        shapes = (features, rows), (hidden, rows), (rows,), (rows,), (hidden, 1), (1,)
        return [
            jax.random.uniform(key, shape, minval=-(hidden**-0.5), maxval=hidden**-0.5)
            for key, shape in zip(jax.random.split(key, 6), shapes, strict=True)
        ]

    def loss(parameters, inputs, targets):
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

        start = jnp.zeros((batch, hidden))
        projected = inputs @ w_ih + b_ih + b_hh
        _, states = jax.lax.scan(*((rnn, start) if cell == "rnn" else (lstm, (start, start))), projected)
        return jnp.mean((jax.nn.sigmoid((states @ w + b)[..., 0]) - targets) ** 2)

    def step(parameters, state, inputs, targets):
        gradients = jax.grad(loss)(parameters, inputs, targets)
        updates, state = optimizer.update(gradients, state, parameters)
        return optax.apply_updates(parameters, updates), state

    step = jax.jit(jax.vmap(step), donate_argnums=(0, 1))
    parameters = jax.vmap(init)(jax.random.split(jax.random.PRNGKey(0), replicates))
    state = jax.vmap(optimizer.init)(parameters)
    index = torch.randint(len(examples), (20, replicates, batch))
    inputs = jnp.asarray(examples.inputs[index].transpose(2, 3).numpy())  # [20, R, T, B, D]: drawn before it is timed
    targets = jnp.asarray(examples.targets[index].transpose(2, 3).numpy())

    def steps(n):
        nonlocal parameters, state
        for i in range(n):
            parameters, state = step(parameters, state, inputs[i % 20], targets[i % 20])
        parameters[0].block_until_ready()

    steps(2)  # compiles
    return steps
