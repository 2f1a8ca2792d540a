"""A transformer encoder for text and sequences (Vaswani et al. 2017, arXiv:1706.03762)."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_edge.nets.trunks.base import SequencePool, Trunk


class Positions(nn.Module):
    """Adds to each position what has been learned for it."""

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, width, length) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, L)`` -> the same shape."""
        return x + self.table


class Attention(nn.Module):
    """Each position mixes what it finds at the others.

    Written out, so that it exports as four matrix products and two more, which all have int8 kernels. The number of
    heads is in the shapes of the weights alone: pruning takes whole heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.head_width = width // heads
        self.scale = self.head_width**-0.5
        # Without biases (Chowdhery et al. 2022, arXiv:2204.02311): each would be a node of its own.
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    @property
    def heads(self) -> int:
        """Number of heads."""
        return len(self.query.weight) // self.head_width

    def keep_heads(self, heads: Sequence[int]) -> None:
        """Drop all heads but these, in place."""
        rows = torch.arange(self.heads * self.head_width).view(self.heads, -1)[list(heads)].flatten()
        for layer, axis in ((self.query, 0), (self.key, 0), (self.value, 0), (self.output, 1)):
            layer.weight = nn.Parameter(layer.weight.detach().index_select(axis, rows))
            layer.out_features, layer.in_features = layer.weight.shape

    def folded(self) -> "Attention":
        """The same function with the scale inside the query's weights: one node less at run time."""
        folded = copy.deepcopy(self)
        with torch.no_grad():
            folded.query.weight *= self.scale
        folded.scale = 1.0
        return folded

    def forward(self, x: Tensor) -> Tensor:
        """``(N, L, C)`` -> the same shape."""
        query = self.query(x) if self.scale == 1 else self.query(x) * self.scale
        shape = (-1, x.shape[1], self.heads, self.head_width)
        # (N, heads, L, D) @ (N, heads, D, L): every position's weights for every position
        weights = query.view(shape).transpose(1, 2) @ self.key(x).view(shape).permute(0, 2, 3, 1)
        mixed = weights.softmax(-1) @ self.value(x).view(shape).transpose(1, 2)
        out: Tensor = self.output(mixed.transpose(1, 2).reshape(-1, x.shape[1], self.heads * self.head_width))
        return out


class EncoderBlock(nn.Module):
    """Attention, then a small network for each position, each normed before and added to what was there.

    ReLU rather than GELU: it disappears into the range of the int8 values, and costs nothing in float.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, hidden, bias=False)
        self.narrow = nn.Linear(hidden, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, L)`` -> the same shape."""
        x = x.transpose(1, 2)  # two of them in a row, from block to block, leave the graph on export
        x = x + self.dropout(self.attention(self.norm1(x)))
        x = x + self.dropout(self.narrow(torch.relu(self.widen(self.norm2(x)))))
        return x.transpose(1, 2)


class LastNorm(nn.Module):
    """The norm after the last block, whose sums nothing else bounds."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, L)`` -> the same shape."""
        out: Tensor = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return out


def transformer(
    stem: nn.Module, length: int, *, width: int, depth: int, heads: int, hidden: int, dropout: float
) -> Trunk:
    """A stem with positions, one block for each stage, the mean over the positions.

    Padding is a word like any other, whose embedding is learned: a mask would be more nodes in every block, and its
    large negative numbers would leave int8 no resolution for the scores.

    Args:
        stem: a batch of inputs -> ``(N, width, length)``.
        length: number of positions.
        width: channels of every position.
        depth: number of blocks.
        heads: number of attention heads, a divisor of the width.
        hidden: width inside each block's small network.
        dropout: the share of values that training hides of what each block adds.
    """
    stages: list[nn.Module] = [EncoderBlock(width, heads, hidden, dropout) for _ in range(depth)]
    stages[-1] = nn.Sequential(stages[-1], LastNorm(width))
    return Trunk(nn.Sequential(stem, Positions(width, length)), stages, SequencePool(), (width,) * (depth + 1))
