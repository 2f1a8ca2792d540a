"""What every source offers, whatever it reads: rows of named columns, a batch at a time."""

import difflib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from mtl_edge.data.splits import Samples
from mtl_edge.errors import DataError

Batch = Mapping[str, np.ndarray]
"""Column name -> values ``(rows, …)``. Texts are objects, ``str`` or None; a missing number is NaN."""

_BATCH_BYTES = 4 << 20


@dataclass(frozen=True)
class Field:
    """What the values of a column are: their dtype (``object`` for text), and the shape of each."""

    dtype: np.dtype
    shape: tuple[int, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether the values are ``str`` or None."""
        return self.dtype.kind == "O"


class Rows(Protocol):
    """One file, folder or generator."""

    @property
    def place(self) -> str:
        """What an error calls it, such as ``csv:people.csv``."""

    @property
    def is_table(self) -> bool:
        """Whether the input has to be encoded from several columns, or from text."""

    @property
    def fields(self) -> Mapping[str, Field]:
        """Column name -> what it holds."""

    def __len__(self) -> int: ...

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        """These columns of all rows, in order; never much of them at once."""


@dataclass(frozen=True)
class ArrayRows:
    """Arrays, in memory or mapped."""

    is_table: ClassVar[bool] = False

    place: str
    samples: Samples

    @property
    def fields(self) -> Mapping[str, Field]:
        """Dtypes as the arrays have them, in this machine's byte order."""
        return {
            name: Field(array.dtype.newbyteorder("="), array.shape[1:]) for name, array in self.samples.arrays.items()
        }

    def __len__(self) -> int:
        return len(self.samples)

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        """Views of the arrays; texts and numbers as they stand."""
        arrays = {name: self.samples[name] for name in names}
        size = rows_within(sum(row_bytes(Field(array.dtype, array.shape[1:])) for array in arrays.values()))
        for start in range(0, len(self), size):
            yield {name: array[start : start + size] for name, array in arrays.items()}


def row_bytes(field: Field) -> int:
    """Size of one value."""
    return field.dtype.itemsize * math.prod(field.shape)


def rows_within(size: int) -> int:
    """How many rows of this many bytes make a batch."""
    return min(max(_BATCH_BYTES // max(size, 1), 1), 1 << 16)


def check_column(name: str, names: Collection[str], where: str) -> None:
    """A name must be that of a column, or array, of the data.

    Raises:
        DataError: it is not; the message shows those that there are, and which one may have been meant.
    """
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DataError(f"{where}: no array {name!r} in the data, found {', '.join(sorted(names))}{hint}")


def column_of(rows: Rows, name: str) -> np.ndarray:
    """A column of single values in full: a few bytes for each row."""
    parts = [np.asarray(batch[name]).copy() for batch in rows.batches([name])]
    return np.concatenate(parts) if parts else np.zeros(0, rows.fields[name].dtype)


def check_numbers(rows: Rows, name: str, where: str) -> None:
    """A column of texts that all ought to be numbers is refused at the first that is none.

    Raises:
        DataError: the column holds a text; the message names its row, counted from 1 without the header.
    """
    if not rows.fields[name].is_text:
        return
    number = 0
    for batch in rows.batches([name]):
        for value in batch[name]:
            number += 1
            if value is not None and not _is_number(value):
                raise DataError(f"{where}: column {name!r} must be numbers, found {value!r} in row {number}")
    raise DataError(f"{where}: column {name!r} must be numbers, found text")


def _is_number(text: object) -> bool:
    try:
        float(str(text))
    except ValueError:
        return False
    return True
