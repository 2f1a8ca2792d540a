"""What must be true of samples before anything is computed from them."""

import difflib

import numpy as np

from mtl_edge.data.splits import Samples
from mtl_edge.errors import DataError
from mtl_edge.recipe import Recipe
from mtl_edge.tasks import given


def check_samples(samples: Samples, recipe: Recipe, place: str) -> None:
    """Every array that the recipe names is there, is finite, and is what its task allows.

    Raises:
        DataError: the first fault, with the place, the rule, and what was found.
    """
    inputs = _array(samples, recipe.data.input, f"{place}: data.input")
    if inputs.ndim < 2:
        raise DataError(f"{place}: input {recipe.data.input!r} must have the shape (N, C, …), found {inputs.shape}")
    _check_finite(inputs, f"{place}: input {recipe.data.input!r}")
    for task in recipe.tasks:
        where = f"{place}: tasks.{task.name}.target"
        targets = _array(samples, task.target, where)
        if fault := task.find_fault(targets):
            raise DataError(f"{where} {task.target!r}: {fault}")
        if not given(task.labels(targets)).any():
            raise DataError(f"{where} {task.target!r}: at least one sample must have a label, found none")


def _array(samples: Samples, name: str, where: str) -> np.ndarray:
    if name not in samples.arrays:
        near = difflib.get_close_matches(name, samples.arrays, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DataError(f"{where}: no array {name!r} in the data, found {', '.join(sorted(samples.arrays))}{hint}")
    array = samples[name]
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: must be numbers, found dtype {array.dtype}")
    return array


def _check_finite(array: np.ndarray, where: str) -> None:
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(position) for position in np.argwhere(bad)[0])
        raise DataError(
            f"{where}: values must be finite, found {int(bad.sum())} NaN or inf, the first at index "
            f"{first if len(first) > 1 else first[0]}"
        )
