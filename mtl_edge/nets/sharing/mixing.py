"""Weighted sums of what several branches have computed, and the gates that weigh them."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import overload

import torch
from torch import Tensor, nn


class Mixture(nn.Module):
    """Weighted sums of the branches, one for each row of weights.

    One matrix product over the stacked branches, however many rows there are. For 4 experts and 2 tasks ONNX Runtime
    takes half the time that a chain of 8 ``Mul`` and 6 ``Add`` takes in float, and 2/3 of it in int8.
    """

    def forward(self, weights: Tensor, branches: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Weights ``(N, rows, branches)``, or ``(rows, branches)`` for all samples, and branches ``(N, C, …)``."""
        stacked = torch.stack(list(branches), dim=1)
        sums = torch.unflatten(_product(weights)(weights, stacked.flatten(2)), 2, stacked.shape[2:])
        return tuple(sums.select(1, row) for row in range(weights.shape[-2]))

    def folded(self) -> nn.Module:
        """The same sums with fewer steps, but in a layout in which pruning would lose track of the channels."""
        return _FlatMixture()


class _FlatMixture(nn.Module):
    def forward(self, weights: Tensor, branches: Sequence[Tensor]) -> tuple[Tensor, ...]:
        channels, *sizes = branches[0].shape[1:]
        together = torch.cat(list(branches), 1).reshape(-1, len(branches), channels * math.prod(sizes))
        rows = weights.shape[-2]
        return tuple(
            _split(_product(weights)(weights, together).reshape(-1, rows * channels, *sizes), [channels] * rows)
        )


def _product(weights: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """``bmm``, where it can be: ``matmul`` reshapes its factors, which pruning takes for channels going elsewhere."""
    return torch.bmm if weights.ndim == 3 else torch.matmul


class Gates(nn.Module):
    """For each row, weights over the branches that it may read: a softmax over a linear layer of one vector.

    Args:
        channels: width of the vectors.
        reads: row -> the branches that it may read; the weights of the others are zero.
        branches: number of branches.
        separate: each row reads a vector of its own, rather than all the same one.
    """

    def __init__(self, channels: int, reads: Sequence[Sequence[int]], branches: int, *, separate: bool = False) -> None:
        super().__init__()
        # Rows that read the same vector share one matrix product.
        groups = [[row] for row in reads] if separate else [list(reads)]
        self.layers = nn.ModuleList(nn.Linear(channels, sum(map(len, group))) for group in groups)
        self.weights = GateWeights(groups, branches)

    def forward(self, *vectors: Tensor) -> Tensor:
        """One vector ``(N, channels)``, or one for each row -> weights ``(N, rows, branches)``, each row sums to 1."""
        weights: Tensor = self.weights(*(layer(x) for layer, x in zip(self.layers, vectors, strict=True)))
        return weights


class GateWeights(nn.Module):
    """Each row's softmax, and zeros at the branches that the row may not read.

    A module of its own, because pruning must know where channels end: what it gives are weights of whole branches.

    Args:
        groups: for each layer of the gates, the rows that it serves, as the branches that each may read.
        branches: number of branches.
    """

    places: Tensor | None

    def __init__(self, groups: Sequence[Sequence[Sequence[int]]], branches: int) -> None:
        super().__init__()
        # For each layer: how many rows in a row have which number of branches; those share one softmax.
        self.runs = [[(len(list(run)), width) for width, run in groupby(map(len, rows))] for rows in groups]
        rows = [list(row) for group in groups for row in group]
        self.shape = (len(rows), branches)
        places = None
        if len(groups) > 1 or any(row != list(range(branches)) for row in rows):
            # One product with zeros and ones puts every weight in its place, also in int8, where masking the softmax
            # with large negative numbers would leave the logits no resolution.
            places = torch.zeros(sum(map(len, rows)), len(rows), branches)
            pairs = ((index, branch) for index, row in enumerate(rows) for branch in row)
            for position, (index, branch) in enumerate(pairs):
                places[position, index, branch] = 1
            places = places.flatten(1)
        self.register_buffer("places", places, persistent=False)

    def forward(self, *logits: Tensor) -> Tensor:
        """Each layer's logits, one row after the other -> weights ``(N, rows, branches)``."""
        weights = [
            torch.unflatten(part, 1, run).softmax(2)
            for x, runs in zip(logits, self.runs, strict=True)
            for part, run in zip(_split(x, [rows * width for rows, width in runs]), runs, strict=True)
        ]
        if self.places is None:
            return weights[0]
        placed = torch.cat([part.flatten(1) for part in weights], 1) @ self.places
        return torch.unflatten(placed, 1, self.shape)


def _split(x: Tensor, sizes: list[int]) -> Sequence[Tensor]:
    return torch.split(x, sizes, 1) if len(sizes) > 1 else (x,)


class LazyMaps(Sequence[Tensor]):
    """Maps that are computed when a dense head asks for them; other nets never pay for them.

    Args:
        makers: what computes each map.
    """

    def __init__(self, makers: Sequence[Callable[[], Tensor]]) -> None:
        self._makers = makers

    def __len__(self) -> int:
        return len(self._makers)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> "LazyMaps": ...

    def __getitem__(self, index: int | slice) -> "Tensor | LazyMaps":
        return LazyMaps(self._makers[index]) if isinstance(index, slice) else self._makers[index]()

    def __iter__(self) -> Iterator[Tensor]:
        return (make() for make in self._makers)
