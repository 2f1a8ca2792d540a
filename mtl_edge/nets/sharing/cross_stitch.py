"""Cross-stitch networks (Misra et al. 2016, arXiv:1604.03539)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mtl_edge.nets.sharing.mixing import mixed
from mtl_edge.nets.trunks.base import Features, Trunk

_SAME = 0.9
"""How much of its own map a task starts with, as in the paper; the other tasks' maps share what is left."""


class CrossStitchSharing(nn.Module):
    """A trunk for each task; after every stage each task's map becomes a learned sum of all tasks' maps."""

    def __init__(self, make_trunk: Callable[[], Trunk], tasks: int) -> None:
        super().__init__()
        self.trunks = nn.ModuleList(make_trunk() for _ in range(tasks))
        first: Trunk = self.trunks[0]
        self.pool = first.pool
        self.stitches = nn.ModuleList(Stitch(tasks) for _ in first.stages)

    def forward(self, x: Tensor) -> list[Features]:
        """A batch of inputs -> the features of each task."""
        maps: list[tuple[Tensor, ...]] = [tuple(trunk.stem(x) for trunk in self.trunks)]
        stages = zip(*(trunk.stages for trunk in self.trunks), strict=True)
        for layers, stitch in zip(stages, self.stitches, strict=True):
            found = [layer(before) for layer, before in zip(layers, maps[-1], strict=True)]
            maps.append(stitch(found))
        return [Features(of_task, self.pool(of_task[-1])) for of_task in zip(*maps, strict=True)]


class Stitch(nn.Module):
    """One ``(tasks, tasks)`` matrix for all channels; near the identity at first."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        same = _SAME if tasks > 1 else 1.0
        others = (1 - same) / max(tasks - 1, 1)
        self.weight = nn.Parameter(torch.full((tasks, tasks), others) + (same - others) * torch.eye(tasks))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Each task's map ``(N, C, …)`` -> as many maps of the same shape."""
        return mixed(self.weight, maps)
