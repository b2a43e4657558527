"""Where every random number of the project comes from."""

from hashlib import blake2b

import torch


def generator(*keys: int | str) -> torch.Generator:
    """Return a CPU generator whose stream is a function of ``keys`` alone, the same on every machine.

    >>> torch.randint(10, (3,), generator=generator(0, "adder", "train"))
    tensor([9, 1, 5])
    """
    digest = blake2b(repr(keys).encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))
