"""Several processes as one training, started by torch's own launcher; one alone is the usual case.

Each makes its share of every batch; gradients are averaged, so that all of them hold the same weights. The first one
measures, writes and speaks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """Which process this is, of how many."""

    rank: int = 0
    world: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether this one measures, writes and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.world > 1:
            dist.barrier()

    def agree(self, progress: float, stop: bool) -> tuple[float, bool]:
        """Progress as the first process says, and whether any of them was asked to stop."""
        if self.world == 1:
            return progress, stop
        said = torch.tensor([progress if self.first else 0.0, float(stop)], device=self.device, dtype=torch.float64)
        dist.all_reduce(said, dist.ReduceOp.MAX)
        return float(said[0]), bool(said[1])

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Let every process hold the mean of each tensor, in place."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.world
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))


@contextmanager
def processes() -> Iterator[Processes]:
    """Join the processes that a launcher started, or be alone; a GPU of its own for each where there are GPUs."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(rank=rank, world=world, device=device)
    finally:
        if world > 1:
            dist.destroy_process_group()


def floats(module: Any) -> list[Tensor]:
    """Buffers that an average makes sense of: running means and variances of batch norms."""
    return [buffer for buffer in module.buffers() if buffer.is_floating_point()]
