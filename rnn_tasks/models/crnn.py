"""A network that reads an image row by row, each row through convolutions."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnn_tasks import checks, memory
from rnn_tasks.models.network import Network
from rnn_tasks.models.replicated import BYTES, uniform
from rnn_tasks.seeds import generator

KERNEL, PADDING = (3, 5), (1, 2)  # rows and columns


class Crnn(Network):
    """R independent convolutional recurrent networks of one shape, after the CRNN of Shi, Bai and Yao (2015).

    The recurrent layers read, for each row of the image, features of this row and of the rows beside it. They come from
    convolutions with ReLU, each followed by a maximum over two columns. Unlike Shi et al., who read columns and pool in
    both directions, nothing is pooled over rows: there are as many steps as the image has rows.

    The parameters are those of Network and of torch.nn.Conv2d (``convolutions.weight_0`` ...), each with a leading axis
    over the replicates.

    Args:
        input_size: D, columns of the image.
        channels: features of each convolution at each place; every convolution halves the columns.
        seed: of replicate 0, as for Network.
        values: those of Network; ``dropout`` also hides features from the first recurrent layer.

    Raises:
        ValueError: there are more convolutions than the columns can be halved, or a value is out of its range.
    """

    def __init__(self, input_size: int, channels: Sequence[int], seed: int = 0, **values: Any) -> None:
        checks.whole_numbers(1, input_size=input_size)
        checks.require(isinstance(channels, Sequence), "channels", channels, "a list of numbers of features")
        most = input_size.bit_length() - 1
        rule = f"at least one number of features, at most {most} for {input_size} columns, which each of them halves"
        checks.require(0 < len(channels) <= most, "channels", list(channels), rule)
        for number in channels:
            checks.whole_numbers(1, channels=number)
        numbers = sum(prod((before, after, *KERNEL)) for before, after in zip((1, *channels), channels, strict=False))
        memory.require(values.get("replicates", 1) * numbers * BYTES, f"channels={list(channels)}")
        features = input_size // 2 ** len(channels) * channels[-1]
        super().__init__(features, seed=seed, **values)
        streams, weights = [generator("convolutions", seed) for seed in self.seeds], {}
        for i, (before, after) in enumerate(zip((1, *channels), channels, strict=False)):
            limit = (before * KERNEL[0] * KERNEL[1]) ** -0.5
            weights[f"weight_{i}"] = uniform((after, before, *KERNEL), limit, streams)
            weights[f"bias_{i}"] = uniform((after,), limit, streams)
        self.input_size = input_size
        self.convolutions = nn.ParameterDict(weights)

    @property
    def description(self) -> str:
        return f"convolutions and a {super().description}"

    def _features(self, inputs: Tensor, lengths: Tensor, dropout_key: tuple[int, ...] | None) -> Tensor:
        """Features of images: [R, B, T, D] -> [R, B, T, F]."""
        features = torch.stack([self._convolved(r, inputs[r], lengths[r]) for r in range(self.replicates)])
        return self._dropout(features, "features", dropout_key)

    def _convolved(self, replicate: int, images: Tensor, lengths: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, F]; rows in the padding count as empty paper, so they change nothing."""
        steps = images.shape[1]
        real = (torch.arange(steps, device=images.device) < lengths[:, None])[:, None, :, None]  # [B, 1, T, 1]
        padded = not real.all()
        maps = images[:, None]  # [B, T, D] -> [B, 1, T, D]
        for i in range(len(self.convolutions) // 2):
            maps = maps * real if padded else maps
            weight, bias = (self.convolutions[f"{name}_{i}"][replicate] for name in ("weight", "bias"))
            maps = F.conv2d(maps, weight, bias, padding=PADDING)
            maps = F.max_pool2d(maps.relu(), (1, 2))  # [B, C, T, W] -> [B, C, T, W / 2]
        return maps.transpose(1, 2).flatten(2)
