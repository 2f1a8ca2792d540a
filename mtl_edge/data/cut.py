"""Which rows of a source are for training, validation and test."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mtl_edge.data.rows import Batch, Rows, check_column, column_of
from mtl_edge.errors import DataError, RecipeError
from mtl_edge.recipe import DataSpec

CUT_NAMES = ("train", "val", "test")

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Positions of the rows for train, validation and test, in the order that they shall have there."""


@dataclass(frozen=True)
class Cut:
    """Rows, and what each of them is for; ``origin`` is the position of their source in the recipe."""

    rows: Rows
    parts: Parts
    origin: int = 0

    def train_batches(self, names: Sequence[str]) -> Iterator[Batch]:
        """Columns of the training rows."""
        if not len(self.parts[0]):
            return
        train = np.zeros(len(self.rows), bool)
        train[self.parts[0]] = True
        start = 0
        for batch in self.rows.batches(names):
            stop = start + len(batch[names[0]])
            yield {name: values[train[start:stop]] for name, values in batch.items()}
            start = stop


def whole(count: int, split: int) -> Parts:
    """All rows for one split, in their order."""
    nothing = np.zeros(0, np.int64)
    parts = [nothing, nothing, nothing]
    parts[split] = np.arange(count)
    return parts[0], parts[1], parts[2]


def cut_rows(rows: Rows, spec: DataSpec, rng: np.random.Generator, splits: Sequence[int] = (0, 1, 2)) -> Parts:
    """Give each row to one of some splits (0 train, 1 validation, 2 test), as the recipe says.

    Raises:
        RecipeError: ``split_by`` needs a ``split_column``.
        DataError: there is no such column, or it holds something else.
    """
    shares = np.array([spec.split[split] for split in splits])
    count = len(rows)
    match spec.split_by:
        case "random":
            found = np.split(rng.permutation(count), _ends(shares, count))
        case "time":
            order = np.arange(count) if spec.split_column is None else np.argsort(_column(rows, spec), kind="stable")
            found = [rng.permutation(part) for part in np.split(order, _ends(shares, count))]
        case "group":
            found = _by_group(_column(rows, spec), shares, rng)
        case "column":
            return _as_said(_column(rows, spec), rows.place, spec, rng)
    parts = list(whole(0, 0))
    for split, part in zip(splits, found, strict=True):
        parts[split] = part
    return parts[0], parts[1], parts[2]


def _ends(shares: np.ndarray, count: int) -> np.ndarray:
    ends: np.ndarray = (np.cumsum(shares) / sum(shares.tolist()) * count)[:-1].round().astype(int)
    return ends


def _by_group(groups: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Groups in random order fill the splits one after the other; each goes where its middle falls."""
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    middles = np.cumsum(sizes[order]) - sizes[order] / 2
    split_of = np.empty(len(sizes), int)
    split_of[order] = np.searchsorted(np.cumsum(shares)[:-1] / shares.sum() * len(groups), middles, side="right")
    shuffled = rng.permutation(len(groups))
    return [shuffled[split_of[numbers[shuffled]] == split] for split in range(len(shares))]


def _as_said(said: np.ndarray, place: str, spec: DataSpec, rng: np.random.Generator) -> Parts:
    words = said.astype(str)
    strange = ~np.isin(words, CUT_NAMES)
    if strange.any():
        row = int(strange.argmax())
        rule = f"column {spec.split_column!r} must say train, val or test"
        raise DataError(f"{place}: {rule}, found {str(said[row])!r} in row {row + 1}")
    train, val, test = (rng.permutation(np.flatnonzero(words == name)) for name in CUT_NAMES)
    if not len(val):  # many published splits have none
        train, val = np.split(train, _ends(np.array(spec.split[:2]), len(train)))
    return train, val, test


def _column(rows: Rows, spec: DataSpec) -> np.ndarray:
    """The values of ``split_column``, all of which must be there."""
    name = spec.split_column
    if name is None:
        raise RecipeError(f"data.split_column: is needed by split_by = {spec.split_by!r}, found none")
    where = f"{rows.place}: data.split_column"
    check_column(name, rows.fields, where)
    values = column_of(rows, name)
    if values.ndim != 1 or values.dtype.kind not in "biufOUM":
        raise DataError(
            f"{where}: {name!r} must hold one number, text or time per row, found {values.dtype} "
            f"of the shape {values.shape}"
        )
    empty = np.array([value is None for value in values]) if values.dtype.kind == "O" else values != values
    if empty.any():
        raise DataError(f"{where}: {name!r} must be given in every row, found none in row {int(empty.argmax()) + 1}")
    return values
