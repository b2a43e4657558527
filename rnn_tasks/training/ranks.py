"""The place of this process among those that train one run together, and what they tell each other.

Whether this process is the one that prints, logs and writes has one answer: ``Ranks.is_main``.
"""

from __future__ import annotations

import copy
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from omegaconf import DictConfig
from torch import Tensor, nn

from rnn_tasks.errors import UserError
from rnn_tasks.seeds import digest

P = ParamSpec("P")
T = TypeVar("T")
PAUSE = 0.3  # seconds between two meetings, during which a signal waits
FOREVER = timedelta(days=365)  # a lost process closes its connections; a suspended one goes on
LOOPBACK = ("lo", "lo0")  # names of the network interface that leads nowhere else


class PeerLost(Exception):
    """Another process of the run has ended."""


class Shard(NamedTuple):
    """Replicates ``first`` to ``last``, without that one, of all ``of`` replicates of a run."""

    first: int
    last: int
    of: int


class Ranks:
    """The processes of a run, and which of them this one is.

    Together they train either the same replicates, each with its rows of every batch, or each a shard of the
    replicates. All of them call the methods below at the same places of the program. One process alone is the default.

    Args:
        rank: the number of this process, from 0.
        size: of all.
        shard: its replicates; None if it trains all of them.
        accelerator: "cpu", or "cuda" where the device of each process is the GPU of its number.
    """

    def __init__(self, rank: int = 0, size: int = 1, shard: Shard | None = None, accelerator: str = "cpu") -> None:
        self.rank, self.size, self.shard = rank, size, shard
        self.device = torch.device("cpu") if accelerator == "cpu" else torch.device(accelerator, rank)

    @property
    def is_main(self) -> bool:
        """Whether this process prints, logs and writes."""
        return self.rank == 0

    @property
    def split_batches(self) -> bool:
        """Whether this process computes a part of each batch."""
        return self.size > 1 and self.shard is None

    def own_part(self, cfg: DictConfig) -> DictConfig:
        """Return the configuration of what this process trains: a run of its shard begins with that one's seed."""
        if self.shard is None:
            return cfg
        part = copy.deepcopy(cfg)
        part.seed += self.shard.first
        part.model.replicates = self.shard.last - self.shard.first
        return part

    def own(self, values: T) -> T:
        """Return the values of this process's replicates, of a list or a tensor for all replicates."""
        return values if self.shard is None else values[self.shard.first : self.shard.last]  # type: ignore[index]

    @property
    def key(self) -> tuple[int, ...]:
        """What keeps random numbers for rows of the same batch in different processes apart."""
        return (self.rank,) if self.split_batches and not self.is_main else ()

    def all_replicates(self, values: Tensor) -> Tensor:
        """Return the values of all replicates: [R of this process, ...] -> [R, ...]."""
        if self.shard is None:
            return values
        return torch.cat([part.to(values.device) for part in self.exchange(values.cpu())])

    def sums(self, values: Tensor) -> Tensor:
        """Return sums over all examples for all replicates, [R, ...], of those that this process has seen."""
        return self.all_replicates(self.add(values.clone()) if self.split_batches else values)

    def add_gradients(self, parameters: Iterable[nn.Parameter], further: Tensor) -> Tensor:
        """Replace the gradients, and return ``further``, by their sums over all processes, which take one message."""
        pairs = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
        tensors = [*(gradient for _, gradient in pairs), further]
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        flat = self.add(flat if flat.element_size() > 2 else flat.float())
        *gradients, sums = flat.split([tensor.numel() for tensor in tensors])
        for (parameter, _), gradient in zip(pairs, gradients, strict=True):
            parameter.grad = gradient.view_as(parameter).to(parameter.dtype)
        return sums.view_as(further)

    def add(self, values: Tensor) -> Tensor:
        """Replace values by their sum over all processes, which is the same in each of them bit for bit."""
        _told(dist.all_reduce)(values)
        return values

    def agree(self, *numbers: int) -> list[int]:
        """Return the highest that a process gives of each number."""
        highest = torch.tensor(numbers)
        if self.size > 1:
            _told(dist.all_reduce)(highest, dist.ReduceOp.MAX)
        return highest.tolist()

    def exchange(self, value: Any) -> list[Any]:
        """Return what each process gives, in their order."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        _told(dist.all_gather_object)(values, value)
        return values

    def require_equal(self, name: str, tensors: Sequence[Tensor]) -> None:
        """Refuse tensors that differ between processes.

        Raises:
            UserError: the message begins with ``name``, what has made them.
        """
        if self.size > 1 and len(set(self.exchange(digest(tensors)))) > 1:
            raise UserError(
                f"{name}: makes other numbers in each process; take random numbers from the stream that it is given, or"
                " from torch, numpy or random, and trainer.devices=1 otherwise"
            )


ALONE = Ranks()


class Meetings:
    """When the processes of a run agree on how to go on: not after every chunk, if chunks are short.

    Args:
        ranks: the processes of the run.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.since = self.next = 0  # chunks since the last meeting, and from that one to the next
        self.last = time.monotonic()

    def is_due(self) -> bool:
        """Return whether there is a meeting after this chunk, as in every process."""
        self.since += 1
        return self.since >= self.next

    def agree(self, *numbers: int) -> list[int]:
        """Return the highest that a process gives of each number, and agree when the next meeting is.

        It is after the next chunk if the first number is not 0.
        """
        seconds = (time.monotonic() - self.last) / max(self.since, 1)  # of a chunk
        *highest, chunks = self.ranks.agree(*numbers, -max(1, int(PAUSE / max(seconds, 1e-3))))
        self.since, self.next, self.last = 0, 1 if highest[0] else -chunks, time.monotonic()
        return highest


def _told(call: Callable[P, T]) -> Callable[P, T]:
    """Let a call of torch.distributed raise PeerLost where it tells that a process is gone."""

    @wraps(call)
    def telling(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except RuntimeError as error:
            raise PeerLost(str(error)) from error

    return telling


@contextmanager
def joined(ranks: Ranks, meeting: Path) -> Iterator[Ranks]:
    """Connect the processes of a run.

    Args:
        ranks: this one.
        meeting: a file that all of them can write, where they find each other.

    Raises:
        PeerLost: another one has ended.
    """
    cuda = ranks.device.type == "cuda"
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    if cuda:
        torch.cuda.set_device(ranks.device)
    with _local_interface():
        store = dist.FileStore(str(meeting), ranks.size)
        _told(dist.init_process_group)(backend, store=store, rank=ranks.rank, world_size=ranks.size, timeout=FOREVER)
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


@contextmanager
def _local_interface() -> Iterator[None]:
    """Let gloo talk within this machine, whatever its name resolves to; a choice of the user's stays."""
    name = next((name for _, name in socket.if_nameindex() if name in LOOPBACK), None)
    if name is None or "GLOO_SOCKET_IFNAME" in os.environ:
        yield
        return
    os.environ["GLOO_SOCKET_IFNAME"] = name
    try:
        yield
    finally:
        del os.environ["GLOO_SOCKET_IFNAME"]
