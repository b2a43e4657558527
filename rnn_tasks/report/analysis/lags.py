"""How far back the answer of a network depends on its inputs."""

import torch
from torch import Tensor

from rnn_tasks.models import Network


def gradient_by_lag(network: Network, inputs: Tensor) -> Tensor:
    """Return how strongly the answer at the last step depends on the inputs of each step before.

    It is the Frobenius norm of d z_T / d x_{T-k}, where z_T are the logits of the answer, averaged over the sequences.
    Bengio, Simard and Frasconi (1994) show that in a network that stores a bit robustly it vanishes with k.

    Args:
        network: of R replicates.
        inputs: [N, T, D], sequences without padding.

    Returns:
        [R, T], for the lags k = 0, 1, ... T - 1.
    """
    inputs = inputs.to(network.head["weight"]).expand(network.replicates, *inputs.shape).clone().requires_grad_()
    logits = network(inputs, torch.full(inputs.shape[:2], inputs.shape[2]))
    last = logits[:, :, -1] if network.readout == "every_step" else logits  # [R, N, C]
    squares = torch.zeros(inputs.shape[:3], dtype=inputs.dtype)
    for logit in last.unbind(-1):
        gradient = torch.autograd.grad(logit.sum(), inputs, retain_graph=True)[0]
        squares += gradient.square().sum(-1)
    return squares.sqrt().mean(1).flip(1).detach()  # [R, N, T] -> [R, T]
