"""Processes that train one model together, each on its share of every batch.

The trained parts are small beside the language model, so their gradients are added up once a step and nothing else has
to be shared: the step is that of one process with the whole batch, up to the order of additions.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Peers(Protocol):
    """The processes of one run.

    Attributes:
        rank: this one's number.
        size: how many there are.
        lockstep: whether all must run the language model equally often, because each holds a part of it.
    """

    rank: int
    size: int
    lockstep: bool

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its sum over the processes."""

    def tell(self, value: float) -> float:
        """Return the value that the first process has."""


class Alone:
    """One process."""

    rank, size, lockstep = 0, 1, False

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Leave the tensors as they are."""

    def tell(self, value: float) -> float:
        """Return the value."""
        return value


class Group:
    """The processes that ``accelerate launch`` or ``torchrun`` started."""

    def __init__(self, *, lockstep: bool = False) -> None:
        from torch import distributed

        self._distributed = distributed
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        self.lockstep = lockstep
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self._device = pick_own_device() if torch.cuda.is_available() else "cpu"

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its sum, all of them in one message."""
        if not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors]).to(self._device)
        self._distributed.all_reduce(flat)
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def tell(self, value: float) -> float:
        """Return the value that the first process has; all wait for it."""
        shared = torch.tensor([value], dtype=torch.float64, device=self._device)
        self._distributed.broadcast(shared, 0)
        return float(shared)

    def leave(self) -> None:
        """End the group; the last thing a process does with it."""
        self._distributed.destroy_process_group()


def find_rank() -> int:
    """Return this process's number among those started together; 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))


def is_group() -> bool:
    """Return whether a launcher started several processes."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def pick_own_device() -> str:
    """Return this process's GPU among those of its machine."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
