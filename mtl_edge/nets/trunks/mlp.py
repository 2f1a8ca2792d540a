"""Fully connected layers, for vectors and tables."""

from collections.abc import Sequence

from torch import nn

from mtl_edge.nets.trunks.base import Trunk


def mlp(stem: nn.Module, channels: int, widths: Sequence[int], dropout: float) -> Trunk:
    """A stem that gives vectors, then one stage for each layer; the last vector is the pooled one.

    Args:
        stem: a batch of inputs -> ``(N, channels)``.
        channels: width of what the stem gives.
        widths: width of each layer.
        dropout: the share of values that training hides from the next layer.
    """
    stages: list[nn.Module] = []
    for before, after in zip((channels, *widths), widths, strict=False):
        # The export folds batch norm into the layer before it.
        layer = (nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(), nn.Dropout(dropout))
        stages.append(nn.Sequential(*layer))
    return Trunk(stem, stages, nn.Identity(), (channels, *widths))
