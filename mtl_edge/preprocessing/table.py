"""Rows of a table: numbers, and categories as their positions in a list."""

from collections.abc import Mapping
from typing import ClassVar

import msgspec
import numpy as np


class NumericColumn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="numeric"):
    """A column of numbers; the network subtracts ``mean``, divides by ``std``, and reads NaN as the mean."""

    name: str
    mean: float
    std: float


class CategoricalColumn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="categorical"):
    """A column of categories: code 0 stands for any that is not listed or missing, code 1 for the first one listed."""

    name: str
    categories: tuple[str, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="table", tag_field="kind"):
    """One float32 row ``(N, columns)`` per sample; standardisation and embeddings are inside the network.

    Every code is a whole number below 2²⁴, which float32 holds exactly.
    """

    dtype: ClassVar[str] = "float32"
    raw_dtype: ClassVar[str] = "float32"

    columns: tuple[NumericColumn | CategoricalColumn, ...]

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Encoded rows ``(N, columns)`` pass as they are."""
        return raw.astype(np.float32, copy=False)

    def encode(self, table: Mapping[str, np.ndarray]) -> np.ndarray:
        """Column name -> values ``(N,)``, numbers or text -> rows ``(N, columns)`` in float32."""
        return np.stack([_encoded(column, table[column.name]) for column in self.columns], axis=1)


def _encoded(column: NumericColumn | CategoricalColumn, values: np.ndarray) -> np.ndarray:
    if isinstance(column, NumericColumn):
        return values.astype(np.float32)
    codes = {category: code for code, category in enumerate(column.categories, start=1)}
    return np.array([codes.get(str(value), 0) for value in values], np.float32)
