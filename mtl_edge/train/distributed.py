"""Data parallel training: each process takes a part of every batch, and all of them stay equal.

Start it with ``torchrun --nproc-per-node N -m mtl_edge train RECIPE``. The batch size of the recipe is that of all
processes together, so the result is that of one process, up to rounding.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from mtl_edge.storage import Stage, StageCache


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1

    @property
    def alone(self) -> bool:
        """Whether there is one process only."""
        return self.size == 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def share(self, batch: np.ndarray) -> slice:
        """This process's part of a batch."""
        ends = [len(batch) * rank // self.size for rank in range(self.size + 1)]
        return slice(ends[self.rank], ends[self.rank + 1])

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, element by element; not differentiable."""
        if not self.alone:
            dist.all_reduce(values)
        return values

    def total_of_each(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over all processes, in one message."""
        if self.alone or not tensors:
            return
        flat = self.total(torch.cat([tensor.reshape(-1) for tensor in tensors]))
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.reshape(tensor.shape))

    def from_leader(self, values: Tensor) -> Tensor:
        """Values of the leading process."""
        if not self.alone:
            dist.broadcast(values, 0)
        return values

    def wait(self) -> None:
        """Wait until all processes are here."""
        if not self.alone:
            dist.barrier()


ALONE = Ranks()
"""One process."""


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` has started; without it, there is one only."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


class FollowerCache(StageCache):
    """The stages of the leading process, for the others: they read them, and work along without writing."""

    def build(self, name: str, depends_on: Mapping[str, object], work: Callable[[Path], None]) -> Stage:
        """Do the work in a folder that is thrown away."""
        with TemporaryDirectory() as folder:
            work(Path(folder))
        return Stage(self._folder(name, depends_on), "")
