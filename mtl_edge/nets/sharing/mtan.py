"""Multi-task attention networks (Liu et al. 2019, arXiv:1803.10704)."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_edge.errors import RecipeError
from mtl_edge.nets.trunks.base import Features, Trunk


class MTANSharing(nn.Module):
    """One trunk for images; after each stage each task masks the map with what its own attention finds there.

    The attention reads the stage's map and, from the second stage on, what the task had kept of the one before, brought
    to the same size by a convolution that the tasks share. A trunk's stages are taken whole here, so the attention
    reads the map that it masks rather than one from within the stage; and maps are pooled before that convolution
    rather than after it, which is a quarter of the work.
    """

    def __init__(self, make_trunk: Callable[[], Trunk], tasks: int) -> None:
        super().__init__()
        self.trunk = make_trunk()
        self.tasks = tasks
        _, first, *others = self.trunk.channels
        self.attentions = nn.ModuleList([Attentions(None, first, tasks)])
        self.attentions.extend(Attentions(before, after, tasks) for before, after in pairwise([first, *others]))

    def forward(self, x: Tensor) -> list[Features]:
        """A batch of images -> the features of each task.

        Raises:
            RecipeError: the trunk's maps are no images, or they grow.
        """
        shared: Tensor = self.trunk.stem(x)
        maps: list[list[Tensor]] = [[shared] * self.tasks]
        for stage, attentions in zip(self.trunk.stages, self.attentions, strict=True):
            shared = stage(shared)
            before, after = (tuple(found.shape[1:]) for found in (maps[-1][0], shared))
            if {len(before), len(after)} != {3} or any(
                grown > size for grown, size in zip(after[1:], before[1:], strict=True)
            ):
                raise RecipeError(
                    "net.sharing: 'mtan' needs a trunk with maps (C, H, W), none larger than the one before, "
                    f"found {before} and {after}"
                )
            maps.append(attentions(shared, maps[-1]))
        return [Features(of_task, self.trunk.pool(of_task[-1])) for of_task in zip(*maps, strict=True)]


class Attentions(nn.Module):
    """Each task's attention to the map of one stage.

    Args:
        before: channels of the stage before, of which each task has kept a part; none before the first stage.
        channels: channels of this stage.
        tasks: number of tasks.
    """

    def __init__(self, before: int | None, channels: int, tasks: int) -> None:
        super().__init__()
        self.fit = None if before is None else nn.Sequential(*_convolution(before, channels, 3), nn.ReLU())
        width = channels if before is None else 2 * channels
        self.attentions = nn.ModuleList(_attention(width, channels) for _ in range(tasks))

    def forward(self, shared: Tensor, kept: Sequence[Tensor]) -> list[Tensor]:
        """The stage's map ``(N, C, H, W)``, and what each task kept before -> what each task keeps of it."""
        if self.fit is None:
            return [shared * attention(shared) for attention in self.attentions]
        fitted = [self.fit(_pooled(x, shared)) for x in kept]
        pairs = zip(self.attentions, fitted, strict=True)
        return [shared * attention(torch.cat([shared, x], 1)) for attention, x in pairs]


def _attention(before: int, after: int) -> nn.Module:
    first, second = _convolution(before, after, 1), _convolution(after, after, 1)
    return nn.Sequential(*first, nn.ReLU(), *second, nn.Sigmoid())


def _convolution(before: int, after: int, kernel: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(after)


def _pooled(x: Tensor, like: Tensor) -> Tensor:
    """The maxima of windows, as many as the other map has places, that reach from edge to edge of this one."""
    (height, down), (width, right) = (_window(x.shape[axis], like.shape[axis]) for axis in (2, 3))
    if (height, width, down, right) == (1, 1, 1, 1):
        return x
    return functional.max_pool2d(x, (height, width), (down, right))


def _window(size: int, wanted: int) -> tuple[int, int]:
    """Window and stride that make ``wanted`` places of ``size``; no stride is so long that a window vanishes."""
    stride = max(min(round(size / wanted), (size - 1) // max(wanted - 1, 1)), 1)
    return size - (wanted - 1) * stride, stride
