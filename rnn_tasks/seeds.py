"""Where every random number of the project comes from."""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b

import numpy as np
import torch


def generator(*keys: int | str) -> torch.Generator:
    """Return a CPU generator whose stream is a function of ``keys`` alone, the same on every machine.

    >>> torch.randint(10, (3,), generator=generator(0, "adder", "train"))
    tensor([9, 1, 5])
    """
    digest = blake2b(repr(keys).encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


def seed_global_generators(*keys: int | str) -> None:
    """Seed the global generators of torch, numpy and random, which the project itself does not use.

    Models, tasks and cells of a user's own may: what they draw is then a function of ``keys``, too.
    """
    number = generator(*keys).initial_seed()
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


@contextmanager
def global_generators(*keys: int | str) -> Iterator[None]:
    """Seed the global generators for a block, and give them their former states back."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    seed_global_generators(*keys)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def digest(tensors: Iterable[torch.Tensor]) -> str:
    """Return a hash of the content of tensors on a CPU."""
    content = blake2b(digest_size=8)
    for tensor in tensors:
        content.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data)
    return content.hexdigest()
