"""Convolutions over words (Kim 2014, arXiv:1408.5882)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_edge.nets.trunks.base import Trunk


class ParallelConvolutions(nn.Module):
    """One convolution for each kernel size, side by side."""

    def __init__(self, channels: int, width: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv1d(channels, width, kernel, padding=kernel // 2) for kernel in kernels)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, L)`` -> ``(N, kernels * width, L)``."""
        return torch.cat([torch.relu(branch(x)) for branch in self.branches], 1)  # ReLU first: it joins the convolution


class MaxPool(nn.Module):
    """The maximum over the positions, of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, L)`` -> ``(N, C)``."""
        # One window over everything rather than x.amax(2): MaxPool passes int8 values on as they are.
        return torch.flatten(functional.max_pool1d(x, x.shape[2]), 1)


def textcnn(stem: nn.Module, channels: int, width: int, kernels: Sequence[int], dropout: float) -> Trunk:
    """Embedded words, one stage of parallel convolutions, their maxima over the text.

    Args:
        stem: a batch of ids -> ``(N, channels, L)``.
        channels: width of what the stem gives.
        width: channels of each convolution.
        kernels: the odd number of words that each convolution sees.
        dropout: the share of channels that training hides from the heads.
    """
    stage = nn.Sequential(ParallelConvolutions(channels, width, kernels), nn.Dropout1d(dropout))
    return Trunk(stem, [stage], MaxPool(), (channels, width * len(kernels)))
