"""From the rows of all sources to one ``.npy`` per array of each split; memory does not grow with the data."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mtl_edge.data.cut import CUT_NAMES, Cut
from mtl_edge.data.inputs import Inputs
from mtl_edge.data.rows import Field
from mtl_edge.data.splits import SOURCE, file_name
from mtl_edge.data.targets import Target
from mtl_edge.errors import DataError


def write_cuts(
    folder: Path,
    cuts: Sequence[Cut],
    name: str,
    inputs: Inputs,
    targets: Mapping[str, Target],
    carried: Sequence[frozenset[str]],
    rng: np.random.Generator,
) -> None:
    """Write ``train/``, ``val/`` and ``test/``.

    Args:
        folder: where to.
        cuts: the rows, and which of them go where; those of several sources are mixed.
        name: that of the input array.
        inputs: how it is made.
        targets: the others, by name.
        carried: for each origin, the targets that its rows have; the others are NaN there.
        rng: the source of chance.

    Raises:
        DataError: the arrays of two sources do not fit together.
    """
    fields = {name: inputs.field, **{key: _common_field(target, cuts, carried) for key, target in targets.items()}}
    if len(carried) > 1:
        fields[SOURCE] = Field(np.dtype(np.int16))
    arrays = [
        {
            key: _create(folder / split / file_name(key), field, sum(len(cut.parts[number]) for cut in cuts))
            for key, field in fields.items()
        }
        for number, split in enumerate(CUT_NAMES)
    ]
    orders = [rng.permutation(len(into[name])) for into in arrays] if len(carried) > 1 else None
    done = [0] * len(CUT_NAMES)
    for cut in cuts:
        read = [target for target in targets.values() if target.name in carried[cut.origin]]
        split_of, position = np.full(len(cut.rows), -1, np.int8), np.zeros(len(cut.rows), np.int64)
        for split, part in enumerate(cut.parts):
            places = np.arange(done[split], done[split] + len(part))
            split_of[part], position[part] = split, places if orders is None else orders[split][places]
            done[split] += len(part)
        start = 0
        for batch in cut.rows.batches([*inputs.columns, *(target.column for target in read)]):
            values = {name: inputs.read(batch), **{target.name: target.read(batch) for target in read}}
            rows = slice(start, start + len(values[name]))
            _scatter(arrays, values, split_of[rows], position[rows], cut.origin)
            start = rows.stop


def _scatter(
    arrays: Sequence[Mapping[str, np.ndarray]],
    values: Mapping[str, np.ndarray],
    split_of: np.ndarray,
    position: np.ndarray,
    origin: int,
) -> None:
    """Put the rows of a batch where they belong; what the batch lacks is NaN."""
    for split, into in enumerate(arrays):
        mine = np.flatnonzero(split_of == split)
        for key, array in into.items():
            array[position[mine]] = origin if key == SOURCE else values[key][mine] if key in values else np.nan


def _common_field(target: Target, cuts: Sequence[Cut], carried: Sequence[frozenset[str]]) -> Field:
    """What a target is in all sources: float32 where one of them has gaps, or lacks it."""
    found = [
        (cut.rows.place, target.field(cut.rows.fields[target.column]))
        for cut in cuts
        if target.name in carried[cut.origin]
    ]
    first, field = found[0]
    for place, other in found:
        if other.shape != field.shape:
            raise DataError(
                f"target {target.name!r}: must have one shape in all sources, found {field.shape} for each sample of "
                f"{first} and {other.shape} for each of {place}"
            )
    dtype = np.result_type(*(other.dtype for _, other in found))
    whole = dtype.kind != "f" and all(target.name in names for names in carried)
    return Field(dtype if whole else np.dtype(np.float32), field.shape)


def _create(path: Path, field: Field, count: int) -> np.ndarray:
    """A new file's array, mapped for writing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=field.dtype, shape=(count, *field.shape))
    if hasattr(os, "posix_fallocate"):  # or a full disk would be a signal that kills the process, not an error
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return array
