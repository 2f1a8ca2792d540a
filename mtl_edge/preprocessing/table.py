"""Rows of a table: numbers, and categories as their positions in a list."""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import ClassVar

import msgspec
import numpy as np

from mtl_edge.preprocessing.frequencies import Frequencies
from mtl_edge.preprocessing.moments import Moments

FEW = 10
"""A column of so many different whole numbers, or fewer, is one of categories."""

_RESOLUTION = 1e-7
"""What float32 can tell apart, relative to the number."""


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

    def layout(self, rank: int) -> str:
        """The axes of its input: rows and columns."""
        return "NC"

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Encoded rows ``(N, columns)`` as they are, copied."""
        return raw.astype(np.float32)

    def encode(self, table: Mapping[str, np.ndarray]) -> np.ndarray:
        """Column name -> values ``(N,)``, NaN or None if missing -> rows ``(N, columns)`` in float32."""
        return np.stack([_encoded(column, table[column.name]) for column in self.columns], axis=1)


def category(value: object) -> str | None:
    """A category's name: whole numbers without a point, anything else as Python writes it; None for NaN and None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _encoded(column: NumericColumn | CategoricalColumn, values: np.ndarray) -> np.ndarray:
    if isinstance(column, NumericColumn):
        with np.errstate(over="ignore"):  # inf is refused by those who read the rows
            return values.astype(np.float32)
    codes: dict[str | None, int] = {name: code for code, name in enumerate(column.categories, start=1)}
    return np.array([codes.get(category(value), 0) for value in values.tolist()], np.float32)


def fit_table(
    batches: Iterable[Mapping[str, np.ndarray]],
    *,
    numeric: Collection[str] = (),
    categorical: Collection[str] = (),
    max_categories: int,
    min_count: int,
) -> Table:
    """Find what each column is, from the training rows.

    Texts and truth values are categories, and so are numbers of which there are at most :data:`FEW`, all of them whole;
    other numbers are numbers. A category that is rarer than ``min_count`` is not listed; of the others, the
    ``max_categories`` most frequent are. A column whose numbers do not differ in float32 keeps its unit.

    Args:
        batches: column name -> values ``(N,)``; each batch has all columns, in the same order.
        numeric: columns that are numbers whatever they hold.
        categorical: columns that are categories whatever they hold.
        max_categories: how many of a column are told apart.
        min_count: how often they must occur.
    """
    counters: dict[str, _Counts] = {}
    for batch in batches:
        for name, values in batch.items():
            if name not in counters:
                counters[name] = _Counts(always=name in categorical or values.dtype.kind in "Ob", never=name in numeric)
            counters[name].add(values)
    return Table(
        columns=tuple(
            CategoricalColumn(name=name, categories=counts.most_common(max_categories, min_count))
            if counts.categorical
            else counts.numbers(name)
            for name, counts in counters.items()
        )
    )


class _Counts:
    """What a column holds: its categories, as long as it may be one of categories, and its moments, if numbers."""

    def __init__(self, *, always: bool, never: bool) -> None:
        self._always = always
        self.categorical = not never
        self._names = Frequencies()
        self._moments = Moments(1)

    def add(self, values: np.ndarray) -> None:
        """Count in some values ``(N,)``."""
        if not self._always:
            self._moments.add(values[:, None])
            self.categorical = self.categorical and bool((np.isnan(values) | (values == np.round(values))).all())
            # Not every value of a column of numbers becomes a text, only to find that there are many.
            self.categorical = self.categorical and len(np.unique(values[~np.isnan(values)])) <= FEW
        if self.categorical:
            self._names.add(name for name in map(category, values.tolist()) if name is not None)
            self.categorical = self._always or len(self._names) <= FEW

    def most_common(self, most: int, least: int) -> tuple[str, ...]:
        """The categories, the most frequent first."""
        return self._names.most_common(most, least)

    def numbers(self, name: str) -> NumericColumn:
        """The column of numbers."""
        mean, std = float(self._moments.mean[0]), float(self._moments.std[0])
        return NumericColumn(name=name, mean=mean, std=std if std > _RESOLUTION * abs(mean) else 1.0)
