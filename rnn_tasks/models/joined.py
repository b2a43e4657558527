"""Networks of different sizes computed as one: smaller ones are filled up with units that do nothing.

In the project's cells a unit whose weights and biases are all zero gives 0 at every step. So it changes nothing in the
units beside it, and neither it nor the weights behind it get a gradient.
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor
from torch.func import functional_call

from rnn_tasks.models.cells import Cell
from rnn_tasks.models.masks import widened
from rnn_tasks.models.network import Network


class Joined:
    """A function of networks that gives the logits of all their replicates, one network after the other.

    Args:
        networks: of one cell, number of layers, read-out and so on; their sizes, dropouts and seeds may differ.

    Attributes:
        replicates: of all networks.

    Raises:
        ValueError: units of zeros would do something in this cell, and the networks differ in their sizes.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self.networks = networks
        self.model = model = deepcopy(networks[0])
        model.hidden = max(network.hidden for network in networks)
        if any(network.hidden < model.hidden for network in networks) and not ignores_empty_units(model.cell):
            raise ValueError(f"the cell {model.cell.function.__name__} cannot have units of zeros")
        self.replicates = model.replicates = sum(network.replicates for network in networks)
        model.seeds = [seed for network in networks for seed in network.seeds]
        model.sizes = [size for network in networks for size in network.sizes]
        model.dropouts = [dropout for network in networks for dropout in network.dropouts]

    def __call__(self, inputs: Tensor, lengths: Tensor, dropout_key: tuple[int, ...] | None = None) -> Tensor:
        """Return logits, arguments and result as those of Network.forward with all replicates."""
        self.model.train(self.networks[0].training)
        return functional_call(self.model, self.parameters(), (inputs, lengths, dropout_key))

    def parameters(self) -> dict[str, Tensor]:
        """Return the parameters of all replicates, those of each network with zeros for the units that it lacks."""
        states = [dict(network.named_parameters()) for network in self.networks]
        hidden = self.model.hidden
        return {
            name: torch.cat(
                [
                    state[name] if network.hidden == hidden else widened(state[name], _blocks(network, name), hidden)
                    for network, state in zip(self.networks, states, strict=True)
                ]
            )
            for name in states[0]
        }


def ignores_empty_units(cell: Cell) -> bool:
    """Return whether a unit without pre-activations stays at 0: whether a step of the cell from zeros gives zeros."""
    rows = cell.gates + (cell.name == "gru")  # whose candidate has two
    zeros = torch.zeros(1, rows, 1), torch.zeros(1, 1, 1)
    with torch.no_grad():
        return not any(result.any() for result in cell.step(*zeros))


def _blocks(network: Network, name: str) -> dict[int, int]:
    """Return the units of each block of a parameter [R, ...], by the axes that have such blocks."""
    group, _, key = name.partition(".")
    if group == "head":
        return {2: network.hidden} if key == "weight" else {}
    if group != "recurrent":
        return {}
    reads_units = key.startswith("weight") and not key.startswith("weight_ih_l0")
    return {1: network.hidden} | ({2: network.hidden} if reads_units else {})
