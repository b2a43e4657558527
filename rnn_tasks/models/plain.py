"""A trained network as modules of torch.nn, for use without this project."""

import re

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from rnn_tasks.models.crnn import KERNEL, PADDING, Crnn
from rnn_tasks.models.network import Network

NAMES = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


def torch_modules(network: nn.Module) -> nn.ModuleDict:
    """Return a network as torch.nn modules with its weights: ``recurrent`` (RNN, LSTM or GRU) and ``head`` (Linear).

    They have the precision of the weights. A Crnn has ``convolutions`` as well, a list of Conv2d.

    Args:
        network: of one replicate.

    Raises:
        ValueError: torch.nn has no such cell, or these are several replicates.
    """
    if not isinstance(network, Network):
        raise ValueError(f"torch.nn has no modules like those of {type(network).__name__}")
    if network.cell.name not in NAMES:
        raise ValueError(f"torch.nn has no module like the cell {network.cell.function.__name__}")
    if network.replicates > 1:
        raise ValueError(f"these are {network.replicates} replicates; torch.nn has modules of one network: take one")
    state = {key: value[0] for key, value in network.state_dict().items()}
    features, outputs = state["recurrent.weight_ih_l0"].shape[1], state["head.weight"].shape
    recurrent = getattr(nn, NAMES[network.cell.name])(
        features,
        network.hidden,
        num_layers=network.layers,
        dropout=network.dropout if network.layers > 1 else 0.0,
        bidirectional=len(network.directions) == 2,
        batch_first=True,
    )
    modules = nn.ModuleDict({"recurrent": recurrent, "head": nn.Linear(outputs[1], outputs[0])})
    if isinstance(network, Crnn):
        weights = [weight for key, weight in state.items() if key.startswith("convolutions.weight_")]
        modules["convolutions"] = nn.ModuleList(
            nn.Conv2d(weight.shape[1], weight.shape[0], KERNEL, padding=PADDING) for weight in weights
        )
        state = {re.sub(r"^convolutions\.(\w+)_(\d+)$", r"convolutions.\2.\1", key): state[key] for key in state}
    modules.to(state["head.weight"].dtype).load_state_dict(state)
    return modules.eval()


class PlainNetwork(nn.Module):
    """The modules of ``torch_modules`` in one: inputs [B, T, D] -> logits [B, T, C], or [B, C] of a single answer.

    Sequences must have no padding.

    Args:
        network: of one replicate.

    Raises:
        ValueError: as for ``torch_modules``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.parts = torch_modules(network)
        assert isinstance(network, Network)
        self.hidden = network.hidden
        self.pooling = network.pooling if network.readout == "last" else None
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        if "convolutions" in self.parts:
            maps = inputs[:, None]
            for convolution in self.parts["convolutions"].children():
                maps = max_pool2d(convolution(maps).relu(), (1, 2))
            inputs = maps.transpose(1, 2).flatten(2)
        states, _ = self.parts["recurrent"](inputs)
        if self.pooling == "mean":
            states = states.mean(1)
        elif self.pooling == "last":  # the final state of each direction
            states = torch.cat((states[:, -1, : self.hidden], states[:, 0, self.hidden :]), -1)
        return self.parts["head"](states)
