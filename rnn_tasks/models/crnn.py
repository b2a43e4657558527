"""A network that reads an image row by row, each through convolutions."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnn_tasks.models.network import Network, drawn
from rnn_tasks.seeds import generator

KERNEL, PADDING = (3, 5), (1, 2)  # rows and columns


class Crnn(Network):
    """R independent convolutional recurrent networks (Shi, Bai and Yao 2015) of one shape.

    A row comes to the recurrent layers as features of it and of the rows beside it: of convolutions with ReLU, each
    followed by a maximum over two columns. The rows stay apart: there are as many steps as the image has rows.

    The parameters are those of Network and of torch.nn.Conv2d (``convolutions.weight_0`` ...), each with a leading axis
    over the replicates.

    Args:
        input_size: D, columns of the image.
        channels: features that each convolution gives at a place.
        dropout: also of the features.
        seed: of replicate 0, as for Network.
        values: Network's.
    """

    def __init__(self, input_size: int, channels: Sequence[int], seed: int = 0, **values: Any) -> None:
        if not channels or min(channels) < 1 or input_size < 2 ** len(channels):
            most = input_size.bit_length() - 1
            raise ValueError(
                f"channels={list(channels)}: must be numbers of at least 1, at most {most} for {input_size} columns"
            )
        features = input_size // 2 ** len(channels) * channels[-1]
        super().__init__(features, seed=seed, **values)
        streams, weights = [generator("convolutions", one) for one in self.seeds], {}
        for i, (before, after) in enumerate(zip((1, *channels), channels, strict=False)):
            limit = (before * KERNEL[0] * KERNEL[1]) ** -0.5
            weights[f"weight_{i}"] = drawn((after, before, *KERNEL), limit, streams)
            weights[f"bias_{i}"] = drawn((after,), limit, streams)
        self.convolutions = nn.ParameterDict(weights)

    def _seen(self, inputs: Tensor, lengths: Tensor, dropout_key: tuple[int, ...] | None) -> Tensor:
        """Features of images: [R, B, T, D] -> [R, B, T, F]."""
        features = torch.stack([self._features(r, inputs[r], lengths[r]) for r in range(self.replicates)])
        return self._dropped(features, "features", dropout_key)

    def _features(self, replicate: int, images: Tensor, lengths: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, F]; rows in the padding are as if they were not there."""
        steps = images.shape[1]
        real = (torch.arange(steps, device=images.device) < lengths[:, None])[:, None, :, None]  # [B, 1, T, 1]
        padded = not real.all()
        maps = images[:, None]
        for i in range(len(self.convolutions) // 2):
            maps = maps * real if padded else maps
            weight, bias = (self.convolutions[f"{name}_{i}"][replicate] for name in ("weight", "bias"))
            maps = F.conv2d(maps, weight, bias, padding=PADDING)
            maps = F.max_pool2d(maps.relu(), (1, 2))
        return maps.transpose(1, 2).flatten(2)
