"""Encoders: what turns the raw input of a trunk into its first map, where that is more than a layer."""

import torch
from torch import Tensor, nn

from mtl_edge.preprocessing import CategoricalColumn, NumericColumn, Table


class TableEncoder(nn.Module):
    """Rows of a table -> vectors: numbers standardised, NaN as their mean; categories looked up in one table.

    A code outside of a column's categories is taken for the nearest one inside, so that no input can fail.

    Attributes:
        features: width of the vectors.
    """

    numeric: Tensor
    mean: Tensor
    std: Tensor
    categorical: Tensor
    first: Tensor
    last: Tensor

    def __init__(self, table: Table, embedding: int) -> None:
        super().__init__()
        numeric = [(at, column) for at, column in enumerate(table.columns) if isinstance(column, NumericColumn)]
        categorical = [(at, column) for at, column in enumerate(table.columns) if isinstance(column, CategoricalColumn)]
        sizes = [len(column.categories) + 1 for _, column in categorical]
        self._constant("numeric", torch.tensor([at for at, _ in numeric], dtype=torch.int64))
        self._constant("mean", torch.tensor([column.mean for _, column in numeric]))
        self._constant("std", torch.tensor([column.std or 1.0 for _, column in numeric]))
        self._constant("categorical", torch.tensor([at for at, _ in categorical], dtype=torch.int64))
        ends = torch.tensor(sizes, dtype=torch.int64).cumsum(0)
        self._constant("first", ends - torch.tensor(sizes, dtype=torch.int64))
        self._constant("last", ends - 1)
        # One table for all columns: one lookup at run time, whatever their number.
        self.embedding = nn.Embedding(sum(sizes), embedding) if sizes else None
        self.features = len(numeric) + embedding * len(categorical)

    def _constant(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, columns)`` -> ``(N, features)``, the numeric columns first."""
        parts: list[Tensor] = []
        if len(self.numeric):
            numbers = (x if self.embedding is None else x.index_select(1, self.numeric)) - self.mean
            parts.append(torch.where(numbers.isnan(), 0.0, numbers / self.std))
        if self.embedding is not None:
            codes = (x.index_select(1, self.categorical).long() + self.first).maximum(self.first).minimum(self.last)
            parts.append(self.embedding(codes).flatten(1))
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


class TokenEncoder(nn.Module):
    """Ids of words -> a vector for each, in the layout of a sequence."""

    def __init__(self, ids: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(ids, width)

    def forward(self, ids: Tensor) -> Tensor:
        """``(N, L)`` -> ``(N, width, L)``."""
        out: Tensor = self.embedding(ids).transpose(1, 2)
        return out
