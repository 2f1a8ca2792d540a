"""Residual blocks of dilated convolutions over sequences (Bai et al. 2018, arXiv:1803.01271)."""

import torch
from torch import Tensor, nn

from mtl_edge.nets.trunks.base import SequencePool, Trunk


class DilatedBlock(nn.Module):
    """Two dilated convolutions with batch norm around a shortcut.

    They look to both sides: the whole sequence is there, so nothing is gained by being causal.
    """

    def __init__(self, channels: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.convolutions = nn.Sequential(
            nn.Conv1d(channels, channels, kernel, padding=padding, dilation=dilation, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
            nn.Dropout1d(dropout),
            nn.Conv1d(channels, channels, kernel, padding=padding, dilation=dilation, bias=False),
            nn.BatchNorm1d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, L)`` -> the same shape."""
        return torch.relu(x + self.convolutions(x))


def tcn(stem: nn.Module, width: int, depth: int, kernel: int, dropout: float) -> Trunk:
    """A stem, one block for each stage with twice the dilation of the one before, the mean over the positions.

    Args:
        stem: a batch of inputs -> ``(N, width, L)``.
        width: channels of every block.
        depth: number of blocks.
        kernel: the odd number of positions that each convolution sees.
        dropout: the share of channels that training hides within a block.
    """
    stages: list[nn.Module] = [DilatedBlock(width, kernel, 2**block, dropout) for block in range(depth)]
    return Trunk(stem, stages, SequencePool(), (width,) * (depth + 1))
