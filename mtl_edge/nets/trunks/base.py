"""What every trunk is made of, so that each sharing scheme works with each trunk."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Features(NamedTuple):
    """What a head reads.

    ``maps`` are the trunk's maps after the stem and after each stage, which a dense head decodes; ``pooled`` is the
    last one as one vector per sample ``(N, features)``.
    """

    maps: Sequence[Tensor]
    pooled: Tensor


class Trunk(nn.Module):
    """A stem, then stages, then a pool.

    Attributes:
        stem: a batch of inputs -> the first map: ``(N, C, H, W)`` of images, ``(N, C, L)`` of text and sequences,
            ``(N, C)`` of vectors and tables. The channels of every map are its axis 1.
        stages: map -> map; where sharing schemes mix what their branches have computed.
        pool: any of the maps -> one vector per sample; it has no parameters.
        channels: the width of the map after the stem and after each stage, which is also that of the pooled vector.
    """

    def __init__(self, stem: nn.Module, stages: list[nn.Module], pool: nn.Module, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.pool = pool
        self.channels = channels

    @property
    def features(self) -> int:
        """Width of the pooled vector."""
        return self.channels[-1]

    def forward(self, x: Tensor) -> Features:
        """A batch of inputs -> features."""
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return Features(tuple(maps), self.pool(maps[-1]))


def convolution(
    before: int, after: int, kernel: int | tuple[int, int], *, stride: int = 1, padding: int = 0
) -> tuple[nn.Module, ...]:
    """A convolution over images with batch norm and ReLU, which the runtime makes one node of."""
    return nn.Conv2d(before, after, kernel, stride, padding, bias=False), nn.BatchNorm2d(after), nn.ReLU()


class ImagePool(nn.Module):
    """The mean over the image."""

    def __init__(self) -> None:
        super().__init__()
        # A module rather than x.mean((2, 3)): it exports as GlobalAveragePool, which has an int8 kernel.
        self.mean = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> ``(N, C)``."""
        return torch.flatten(self.mean(x), 1)


class SequencePool(nn.Module):
    """The mean over the positions."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, L)`` -> ``(N, C)``."""
        # Not AdaptiveAvgPool1d, which exports as ten nodes; the kept axis lets the export use GlobalAveragePool.
        return torch.flatten(x.mean(2, keepdim=True), 1)
