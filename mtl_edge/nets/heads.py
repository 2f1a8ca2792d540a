"""Heads: from features to the output of one task."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_edge.nets.trunks.base import Features, convolution
from mtl_edge.tasks import TargetStatistics


class Head(nn.Module):
    """A body that reads the features, one output layer, and the way back to the target's own unit."""

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, output: nn.Linear | nn.Conv2d, statistics: TargetStatistics) -> None:
        super().__init__()
        self.body = body
        self.output = output
        self.register_buffer("mean", torch.tensor(statistics.mean))
        self.register_buffer("std", torch.tensor(statistics.std))

    def forward(self, features: Features) -> Tensor:
        """Features -> ``(N, width)``, or ``(N, width, H, W)`` of a dense task."""
        out: Tensor = self.output(self.body(features))
        return out * self.std + self.mean

    def folded(self) -> nn.Module:
        """The same function with mean and std inside the output layer: two nodes less at run time."""
        output = copy.deepcopy(self.output)
        assert output.bias is not None
        with torch.no_grad():
            output.weight *= self.std
            output.bias.copy_(output.bias * self.std + self.mean)
        return nn.Sequential(copy.deepcopy(self.body), output)


class HiddenLayer(nn.Module):
    """One layer over the pooled features."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, hidden)

    def forward(self, features: Features) -> Tensor:
        """Pooled features ``(N, features)`` -> ``(N, hidden)``."""
        return torch.relu(self.hidden(features.pooled))


class Decoder(nn.Module):
    """From the smallest map up to the size of the image, with what the larger maps add.

    A feature pyramid (Lin et al. 2017, arXiv:1612.03144). Maps grow by whole factors and are cut to fit, because that
    is exact in int8 and for odd sizes too.
    """

    def __init__(self, channels: tuple[int, ...], hidden: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.lateral = nn.ModuleList(nn.Conv2d(wide, hidden, 1) for wide in channels)
        self.smooth = nn.ModuleList(nn.Sequential(*convolution(hidden, hidden, 3, padding=1)) for _ in channels[1:])

    def forward(self, features: Features) -> Tensor:
        """Maps ``(N, channels, h, w)`` -> ``(N, hidden, H, W)``."""
        first, *others = [lateral(x) for lateral, x in zip(self.lateral, features.maps, strict=True)][::-1]
        out: Tensor = first
        for smooth, lateral in zip(self.smooth, others, strict=True):
            out = smooth(_grown(out, lateral.shape[2], lateral.shape[3]) + lateral)
        return _grown(out, *self.size)


def _grown(x: Tensor, height: int, width: int) -> Tensor:
    """``(N, C, h, w)`` -> ``(N, C, height, width)``, each value repeated."""
    factors = (-(-height // x.shape[2]), -(-width // x.shape[3]))
    if factors != (1, 1):
        x = functional.interpolate(x, scale_factor=[float(factor) for factor in factors], mode="nearest")
    return x[:, :, :height, :width]


def pooled_head(features: int, hidden: int, width: int, statistics: TargetStatistics) -> Head:
    """A head for one label per sample."""
    return Head(HiddenLayer(features, hidden), nn.Linear(hidden, width), statistics)


def dense_head(
    channels: tuple[int, ...], hidden: int, width: int, size: tuple[int, int], statistics: TargetStatistics
) -> Head:
    """A head for one label per pixel of images of this size; ``channels`` are those of the trunk's maps."""
    return Head(Decoder(channels, hidden, size), nn.Conv2d(hidden, width, 3, padding=1), statistics)
