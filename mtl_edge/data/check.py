"""What must be true of samples before anything is computed from them."""

import math

import numpy as np

from mtl_edge.data.rows import check_column
from mtl_edge.data.splits import Samples
from mtl_edge.errors import DataError
from mtl_edge.recipe import Recipe
from mtl_edge.tasks import given

_VALUES = 1 << 20
"""How many values are looked at at a time."""


def check_samples(samples: Samples, recipe: Recipe, place: str, *, gaps: bool = False) -> None:
    """Every array that the recipe names is there, is finite, and is what its task allows.

    Args:
        samples: in memory or mapped.
        recipe: what they must fit.
        place: what errors call them.
        gaps: whether inputs may be missing, which is NaN.

    Raises:
        DataError: the first fault, with the place, the rule, and what was found.
    """
    inputs = _array(samples, recipe.data.input, f"{place}: data.input")
    if inputs.ndim < 2:
        raise DataError(f"{place}: input {recipe.data.input!r} must have the shape (N, C, …), found {inputs.shape}")
    _check_finite(inputs, f"{place}: input {recipe.data.input!r}", gaps)
    for task in recipe.tasks:
        where = f"{place}: tasks.{task.name}.target"
        targets = _array(samples, task.target, where)
        if fault := task.find_fault(targets):
            raise DataError(f"{where} {task.target!r}: {fault}")
        if not given(task.labels(targets)).any():
            raise DataError(f"{where} {task.target!r}: at least one sample must have a label, found none")


def _array(samples: Samples, name: str, where: str) -> np.ndarray:
    check_column(name, samples.arrays, where)
    array = samples[name]
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: must be numbers, found dtype {array.dtype}")
    return array


def _check_finite(array: np.ndarray, where: str, gaps: bool) -> None:
    if array.dtype.kind != "f":
        return
    count, first = 0, None
    rows = max(_VALUES // max(math.prod(array.shape[1:]), 1), 1)
    for start in range(0, len(array), rows):
        part = array[start : start + rows]
        bad = np.isinf(part) if gaps else ~np.isfinite(part)
        if bad.any():
            count += int(bad.sum())
            position = np.unravel_index(bad.argmax(), bad.shape)
            first = first or (start + int(position[0]), *map(int, position[1:]))
    if count:
        rule, found = ("finite or missing", "inf") if gaps else ("finite", "NaN or inf")
        raise DataError(f"{where}: values must be {rule}, found {count} {found}, the first at index {first}")
