"""Symbols as people write them, and as one-hot vectors that a network reads."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot


def encode(symbols: Tensor, lengths: Tensor, size: int) -> Tensor:
    """Return one-hot vectors of the numbers of symbols, zeros in the padding: [N, T], [N] -> [N, T, size]."""
    real = torch.arange(symbols.shape[1]) < lengths[:, None]
    return one_hot(symbols, size).float() * real[..., None]


def parse(text: str, alphabet: str) -> Tensor:
    """Return one-hot vectors of the characters of a text, [T, D]; of one that is not in the alphabet zeros."""
    return torch.tensor([[float(character == symbol) for symbol in alphabet] for character in text])


def write(vectors: Tensor, alphabet: str) -> str:
    """Return the characters of one-hot vectors [T, D]."""
    return "".join(alphabet[number] for number in vectors.argmax(-1).tolist())


def write_set(bits: Tensor, alphabet: Sequence[str]) -> str:
    """Return a set of symbols, given as a bit for each symbol of the alphabet, [C], in braces like "{a,b}"."""
    return "{" + ",".join(symbol for symbol, bit in zip(alphabet, bits.tolist(), strict=True) if bit) + "}"
