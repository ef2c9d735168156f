"""Processes that share the work of an adaptation: those that ``torchrun`` started, or this one alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from edgekit.errors import EdgekitError

T = TypeVar("T")
LAUNCH = ("RANK", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "LOCAL_WORLD_SIZE")  # what torchrun sets with WORLD_SIZE
REMEDY = "start it with torchrun (docs/adapt.md), or unset WORLD_SIZE to run it in one process"
PATIENCE = timedelta(days=7)  # the others wait for the first process's proof, which takes as long as its photos take


@dataclass(frozen=True)
class Processes:
    """This process's number among ``count`` that run the same command."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes results."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """This process's part of the items: every ``count``-th."""
        return list(items[self.rank :: self.count])

    def together(self, work: Callable[[], T]) -> T:
        """Do a work, wait until all processes have done theirs, and raise in each what a user can mend in any."""
        if self.count == 1:
            return work()
        failed, result = None, None
        try:
            result = work()
        except EdgekitError as error:
            failed = error
        errors: list[EdgekitError | None] = [None] * self.count
        dist.all_gather_object(errors, failed)
        if found := [e for e in errors if e is not None]:
            raise found[0]
        return result  # type: ignore[return-value]  # nothing failed

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of all processes' tensors, in each of them."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by the sum of all processes'; a parameter without one in any of them stays so, as
        AdamW moves a parameter whose gradient is zero."""
        if self.count == 1:
            return
        parameters = list(parameters)
        parts = [(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in parameters]
        owners = torch.tensor([float(p.grad is not None) for p in parameters])
        flat = torch.cat([owners, *parts])
        dist.all_reduce(flat)
        owners, *summed = flat.split([len(parameters), *(p.numel() for p in parameters)])
        for parameter, owned, gradient in zip(parameters, owners, summed, strict=True):
            parameter.grad = gradient.view_as(parameter).clone() if owned else None

    def same(self, value: T) -> T:
        """The first process's value, in each of them."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]


@contextlib.contextmanager
def processes() -> Iterator[Processes]:
    """The processes that ``torchrun`` started, connected (NCCL where each has a CUDA device, else gloo)."""
    started = launched()
    if started.count == 1:
        yield started
        return
    on_cuda = torch.cuda.is_available() and torch.cuda.device_count() >= _number("LOCAL_WORLD_SIZE")
    if on_cuda:
        torch.cuda.set_device(_number("LOCAL_RANK"))
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_cuda else "gloo", timeout=PATIENCE)
    try:
        yield started
    finally:
        dist.destroy_process_group()


def launched() -> Processes:
    """This process's place in the launch that the environment describes; the only process where it describes none.

    A RANK without a WORLD_SIZE above 1 is what another program left behind. Raises EdgekitError for an incomplete
    launch, since each of its processes would do the whole work and write the same file.
    """
    count = _number("WORLD_SIZE") if os.environ.get("WORLD_SIZE") else 1
    if count <= 1:
        return Processes()
    if missing := [name for name in LAUNCH if not os.environ.get(name)]:
        raise EdgekitError(f"WORLD_SIZE={count}, but {', '.join(missing)} not set", REMEDY)
    rank, *_ = [_number(name) for name in LAUNCH if name != "MASTER_ADDR"]
    if rank >= count:
        raise EdgekitError(f"RANK={rank}: ranks of WORLD_SIZE={count} are 0 to {count - 1}", REMEDY)
    return Processes(rank, count)


def _number(name: str) -> int:
    """An environment variable that holds a whole number."""
    value = os.environ[name]
    if not value.isdecimal():
        raise EdgekitError(f"{name}={value}: not a whole number", REMEDY)
    return int(value)
