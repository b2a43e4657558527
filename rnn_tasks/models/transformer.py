"""A causal transformer, of many replicates at once, for the contrast with recurrent networks."""

from math import pi
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnn_tasks import checks
from rnn_tasks.models.recurrence import final
from rnn_tasks.models.replicated import Replicated, uniform
from rnn_tasks.seeds import generator

PERIOD = 10_000  # about the longest of the waves that stand for positions, in steps, divided by 2 pi


class Transformer(Replicated):
    """R independent causal transformers of one shape (Vaswani et al. 2017), the decoder without a second sequence.

    A step attends to itself and to the steps before it, never to later ones. States are normalized before attention and
    before the feed-forward part (Xiong et al. 2020), and after the last layer. The inputs are numbers, so a linear map
    takes the place of an embedding.

    The parameters are those of torch.nn.Linear, LayerNorm and MultiheadAttention (``blocks.0.attention_in.weight``
    holds queries, keys and values), each with a leading axis over the replicates.

    Args:
        input_size: D, features of a step.
        output_size: C, logits of an answer.
        readout: "every_step" answers at each step, "last" once, at the last step of the sequence.
        hidden: H, the width of the network.
        layers: number of layers.
        heads: of attention, each of H / heads units.
        feedforward: units of the feed-forward part of a layer, as a multiple of H.
        positions: "sinusoidal" adds waves of the number of the step to the inputs, "none" nothing. One layer without
            positions takes the former steps as a set; further layers can still learn their order (Haviv et al. 2022).
        dropout: probability with which a part of a layer, or the sum of inputs and positions, is hidden in training.
        replicates: R.
        seed: of replicate 0; that of replicate r is ``seed + r``. It decides the initial weights and dropout.

    Raises:
        ValueError: a value is out of its range, or the width cannot be divided among the heads.
    """

    kind = "transformer"

    def __init__(
        self,
        input_size: int,
        output_size: int,
        readout: Literal["every_step", "last"],
        hidden: int = 16,
        layers: int = 2,
        heads: int = 1,
        feedforward: int = 4,
        positions: Literal["sinusoidal", "none"] = "sinusoidal",
        dropout: float = 0.0,
        replicates: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(input_size, output_size, readout, hidden, layers, dropout, replicates, seed)
        checks.whole_numbers(1, heads=heads, feedforward=feedforward)
        checks.require(hidden % heads == 0, "heads", heads, f"a divisor of hidden={hidden}")
        checks.one_of(("sinusoidal", "none"), positions=positions)
        self.heads, self.feedforward, self.positions = heads, feedforward, positions
        self._require_memory(hidden * (input_size + output_size + layers * (4 + 2 * feedforward) * hidden))
        streams = [generator(seed, "weights") for seed in self.seeds]
        self.embedding = _linear(hidden, input_size, streams)
        self.blocks: Any = nn.ModuleList(Block(hidden, feedforward * hidden, streams) for _ in range(layers))
        self.norm = _norm(hidden, replicates)
        self.head = _linear(output_size, hidden, streams)

    @property
    def description(self) -> str:
        return f"{super().description}, {self.heads} head{'s' * (self.heads > 1)}"

    def bytes_of_states(self, batch: int, steps: int) -> int:
        """Return the memory that the gradients of a batch need at least: of the parts of each layer at all steps."""
        return 4 * self.replicates * batch * steps * self.layers * (8 + 2 * self.feedforward) * self.hidden

    def forward(self, inputs: Tensor, lengths: Tensor, dropout_key: tuple[int, ...] | None = None) -> Tensor:
        """Return the logits of padded sequences; the values in the padding change no logit of a real step.

        Args:
            inputs: [R, B, T, D], or [B, T, D] for all replicates.
            lengths: [R, B] or [B], real steps of each sequence, from 1 to T.
            dropout_key: decides the dropout masks, with each replicate's seed; None disables dropout.

        Returns:
            Logits [R, B, T, C], or [R, B, C] with readout "last".

        Raises:
            ValueError: the inputs have another shape, or a length is not one of their steps.
        """
        inputs, lengths = self._for_all(inputs, lengths)
        states = self._layers(inputs, dropout_key)[-1]
        if self.readout == "last":
            states = final(states, lengths)  # [R, B, T, H] -> [R, B, H]
        return _mapped(_normalized(states, self.norm), self.head)

    def states(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the outputs of every layer at every step, without dropout.

        Args:
            inputs, lengths: as for ``forward``.

        Returns:
            [R, L, B, T, H].
        """
        return torch.stack(self._layers(self._for_all(inputs, lengths)[0], None), 1)

    def _layers(self, inputs: Tensor, key: tuple[int, ...] | None) -> list[Tensor]:
        """Return the outputs of every layer, [R, B, T, D] -> [R, B, T, H] each."""
        states = _mapped(inputs, self.embedding)
        if self.positions == "sinusoidal":
            states = states + waves(inputs.shape[2], self.hidden).to(states)
        states, layers = self._dropout(states, "embedding", key), []
        for i, block in enumerate(self.blocks):
            states = states + self._dropout(block.attended(states, self.heads), f"attention {i}", key)
            states = states + self._dropout(block.fed_forward(states), f"feedforward {i}", key)
            layers.append(states)
        return layers


class Block(nn.Module):
    """The two parts of a layer of R transformers, each of which is added to what it reads.

    Args:
        hidden: H.
        wide: units of the feed-forward part.
        streams: of random numbers, of each replicate.
    """

    def __init__(self, hidden: int, wide: int, streams: list[torch.Generator]) -> None:
        super().__init__()
        self.attention_norm = _norm(hidden, len(streams))
        self.attention_in = _linear(3 * hidden, hidden, streams)
        self.attention_out = _linear(hidden, hidden, streams)
        self.feedforward_norm = _norm(hidden, len(streams))
        self.feedforward_in = _linear(wide, hidden, streams)
        self.feedforward_out = _linear(hidden, wide, streams)

    def attended(self, states: Tensor, heads: int) -> Tensor:
        """Let each step attend to itself and to those before it: [R, B, T, H] -> [R, B, T, H]."""
        parts = _mapped(_normalized(states, self.attention_norm), self.attention_in).flatten(0, 1)  # [R * B, T, 3 * H]
        query, key, value = parts.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)  # [R * B, heads, T, H / heads]
        results = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return _mapped(results.transpose(1, 2).flatten(2).view_as(states), self.attention_out)

    def fed_forward(self, states: Tensor) -> Tensor:
        """Compute each step from itself alone: [R, B, T, H] -> [R, B, T, H]."""
        wide = _mapped(_normalized(states, self.feedforward_norm), self.feedforward_in).relu()
        return _mapped(wide, self.feedforward_out)


def waves(steps: int, width: int) -> Tensor:
    """Return positions as sines and cosines of slower and slower waves (Vaswani et al. 2017), as float64 [T, H]."""
    numbers = torch.arange(width, dtype=torch.float64)
    frequencies = PERIOD ** -((numbers - numbers % 2) / width)
    return (torch.arange(steps)[:, None] * frequencies + numbers % 2 * (pi / 2)).sin()


def _linear(outputs: int, inputs: int, streams: list[torch.Generator]) -> nn.ParameterDict:
    """Return a linear map with torch's initial weights: weight [R, outputs, inputs], bias [R, outputs]."""
    shapes = {"weight": (outputs, inputs), "bias": (outputs,)}
    return nn.ParameterDict({name: uniform(shape, inputs**-0.5, streams) for name, shape in shapes.items()})


def _norm(width: int, replicates: int) -> nn.ParameterDict:
    """Return the parameters of a layer normalization, [R, H] each: factors, which begin with 1, and summands."""
    return nn.ParameterDict({"weight": torch.ones(replicates, width), "bias": torch.zeros(replicates, width)})


def _mapped(states: Tensor, linear: nn.ParameterDict) -> Tensor:
    """Map states by the linear map of each replicate: [R, ..., inputs] -> [R, ..., outputs]."""
    outputs = torch.baddbmm(linear["bias"][:, None], states.flatten(1, -2), linear["weight"].mT)
    return outputs.unflatten(1, states.shape[1:-1])


def _normalized(states: Tensor, norm: nn.ParameterDict) -> Tensor:
    """Normalize the states of each step (Ba, Kiros and Hinton 2016): [R, ..., H] -> [R, ..., H]."""
    weight, bias = (norm[name].unflatten(0, (-1, *[1] * (states.dim() - 2))) for name in ("weight", "bias"))
    return torch.addcmul(bias, F.layer_norm(states, states.shape[-1:]), weight)
