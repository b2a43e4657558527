"""Networks as dynamical systems: the map from one state to the next, and its Jacobian matrix.

Axes: R replicates, N states, T steps, D inputs, H units, S numbers of a state. A state is all that a network passes
from one step to the next: of each layer the outputs h, and the cell states c of an LSTM.
"""

from copy import deepcopy

import torch
from torch import Tensor

from rnn_tasks.errors import UserError
from rnn_tasks.models import Crnn, Network
from rnn_tasks.models.recurrence import read, weights_of_cell
from rnn_tasks.report.analysis.inspection import network_of
from rnn_tasks.runs.run import Run

OUTPUT_IS_STATE = ("rnn", "gru")  # cells that pass on nothing but their output


class Dynamics:
    """The map s_t = F(s_{t-1}, x_t) of networks that read forwards, of all replicates at once.

    Args:
        network: its weights are copied.
        replicates: numbers of the replicates that are looked at; None for all.

    Attributes:
        replicates: R.
        size: S; a state holds, layer by layer, h, then c where the cell has one.
        width: H.

    Raises:
        ValueError: the states of the network do not follow from the state before and the input alone.
    """

    def __init__(self, network: Network, replicates: list[int] | None = None) -> None:
        if len(network.directions) == 2:
            raise ValueError("a network that also reads from the end has no state that one step changes")
        if isinstance(network, Crnn):
            raise ValueError("a network with convolutions over several steps has no state that one step changes")
        chosen = list(range(network.replicates)) if replicates is None else replicates
        self.cell, self.width, self.layers, self.replicates = network.cell, network.hidden, network.layers, len(chosen)
        own = {name: value.detach().double()[chosen] for name, value in network.state_dict().items()}
        self.weights = [
            weights_of_cell(self.cell, tuple(own[f"recurrent.{name}_l{layer}"] for name in self.cell.weights))
            for layer in range(self.layers)
        ]
        self.head = own["head.weight"], own["head.bias"]
        self.parts = 1 if self.cell.linear or self.cell.name in OUTPUT_IS_STATE else 2
        self.size = self.layers * self.parts * self.width

    def step(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return the next states: [R, N, S] and [R, N, D], or what broadcasts to it -> [R, N, S]."""
        below = inputs.to(states).expand(*states.shape[:2], inputs.shape[-1]).mT  # [R, D, N]
        after = []
        for (w_ih, w_hh, b_ih, b_hh), own in zip(self.weights, states.mT.chunk(self.layers, 1), strict=True):
            output, state = own[:, : self.width], own[:, -self.width :]  # [R, H, N]
            pre = w_ih @ below + w_hh @ output + (b_ih + b_hh)[..., None]
            below, state = self.cell.step(pre, state)
            after += [below, state][: self.parts]
        return torch.cat(after, 1).mT

    def jacobians(self, states: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next states [R, N, S] and the Jacobian matrices [R, N, S, S] with the entries d F_i / d s_j."""
        with torch.enable_grad():
            states = states.detach().requires_grad_()
            after = self.step(states, inputs)
            rows = torch.eye(self.size, dtype=states.dtype)[:, None, None].expand(-1, *states.shape)
            gradients = torch.autograd.grad(after, states, rows, is_grads_batched=True)[0]  # [S, R, N, S]
        return after.detach(), gradients.permute(1, 2, 0, 3)

    def trajectories(self, inputs: Tensor, start: Tensor | None = None) -> Tensor:
        """Return the states before the first and after each step: [N, T, D] -> [R, N, T + 1, S].

        Args:
            inputs: of N sequences.
            start: [R, N, S]; None starts from zero, as networks do.
        """
        state = inputs.new_zeros(self.replicates, len(inputs), self.size).double() if start is None else start
        states = [state]
        for x in inputs.unbind(1):
            states.append(state := self.step(state, x))
        return torch.stack(states, 2)

    def logits(self, states: Tensor) -> Tensor:
        """Return what the networks answer in states: [R, N, S] -> [R, N, C]."""
        last = states[..., (self.layers - 1) * self.parts * self.width :][..., : self.width]
        return read(last, *self.head)

    def of_one(self, number: int) -> "Dynamics":
        """Return the map of one of the replicates."""
        one = deepcopy(self)
        one.weights = [tuple(weight[number : number + 1] for weight in layer) for layer in self.weights]
        one.head = self.head[0][number : number + 1], self.head[1][number : number + 1]
        one.replicates = 1
        return one


def dynamics_of(run: Run) -> Dynamics:
    """Return the map of a run's replicates, without those that have failed.

    Raises:
        UserError: the network has no such map, or all replicates have failed.
    """
    try:
        return Dynamics(network_of(run), [number for number, failed in enumerate(run.failed) if not failed])
    except ValueError as error:
        raise UserError(f"{run.path}: {error}") from None
