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
    fields = {name: inputs.field}
    for target in targets.values():
        fields[target.name] = _common_field(target, cuts, carried)
    several = len(carried) > 1
    if several:
        fields[SOURCE] = Field(np.dtype(np.int16))
    totals = [sum(len(cut.parts[split]) for cut in cuts) for split in range(len(CUT_NAMES))]
    orders = [rng.permutation(total) for total in totals] if several else None
    arrays = [
        {key: _create(folder / split / file_name(key), field, total) for key, field in fields.items()}
        for split, total in zip(CUT_NAMES, totals, strict=True)
    ]
    done = [0] * len(CUT_NAMES)
    for cut in cuts:
        split_of, position = np.full(len(cut.rows), -1, np.int8), np.zeros(len(cut.rows), np.int64)
        for split, part in enumerate(cut.parts):
            split_of[part] = split
            places = np.arange(done[split], done[split] + len(part))
            position[part] = places if orders is None else orders[split][places]
            done[split] += len(part)
        read = [target for target in targets.values() if target.name in carried[cut.origin]]
        columns = [*inputs.columns, *(target.column for target in read)]
        start = 0
        for batch in cut.rows.batches(columns):
            values = {name: inputs.read(batch), **{target.name: target.read(batch) for target in read}}
            rows = slice(start, start + len(values[name]))
            start = rows.stop
            for split, into in enumerate(arrays):
                mine = split_of[rows] == split
                where = position[rows][mine]
                if not len(where):
                    continue
                for key, array in into.items():
                    array[where] = cut.origin if key == SOURCE else values[key][mine] if key in values else np.nan


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
