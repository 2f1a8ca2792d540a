"""Cross-stitch networks (Misra et al. 2016, arXiv:1604.03539)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mtl_edge.nets.sharing.mixing import Mixture
from mtl_edge.nets.trunks.base import Features, Trunk

_SAME = 0.9
"""How much of its own map a task starts with, as in the paper; the other tasks' maps share what is left."""


class CrossStitchSharing(nn.Module):
    """A trunk for each task; after every stage each task's map becomes a learned sum of all tasks' maps."""

    def __init__(self, make_trunk: Callable[[], Trunk], tasks: int) -> None:
        super().__init__()
        trunks = [make_trunk() for _ in range(tasks)]
        self.stems = nn.ModuleList(trunk.stem for trunk in trunks)
        self.stages = nn.ModuleList(
            StitchedStage(stages) for stages in zip(*(trunk.stages for trunk in trunks), strict=True)
        )
        self.pool = trunks[0].pool

    def forward(self, x: Tensor) -> list[Features]:
        """A batch of inputs -> the features of each task."""
        maps: list[tuple[Tensor, ...]] = [tuple(stem(x) for stem in self.stems)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return [Features(of_task, self.pool(of_task[-1])) for of_task in zip(*maps, strict=True)]


class StitchedStage(nn.Module):
    """One stage of every task's trunk, and the stitch after it."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.stitch = Stitch(len(stages))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Each task's map -> each task's next map."""
        stitched: tuple[Tensor, ...] = self.stitch([stage(x) for stage, x in zip(self.stages, maps, strict=True)])
        return stitched


class Stitch(nn.Module):
    """One ``(tasks, tasks)`` matrix for all channels; near the identity at first."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.mixture = Mixture()
        same = _SAME if tasks > 1 else 1.0
        others = (1 - same) / max(tasks - 1, 1)
        self.weight = nn.Parameter(torch.full((tasks, tasks), others) + (same - others) * torch.eye(tasks))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Each task's map ``(N, C, …)`` -> as many maps of the same shape."""
        mixed: tuple[Tensor, ...] = self.mixture(self.weight, maps)
        return mixed
