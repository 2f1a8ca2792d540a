"""What must be true of samples before anything is computed from them."""

import difflib

import numpy as np

from mtl_edge.data.splits import Samples
from mtl_edge.errors import DataError
from mtl_edge.recipe import Recipe
from mtl_edge.tasks import Task, given
from mtl_edge.tasks.base import first_index, in_parts


def check_samples(samples: Samples, recipe: Recipe, place: str) -> None:
    """Every array that the recipe names is there; inputs are finite, labels what their task allows.

    Raises:
        DataError: the first fault, with the place, the rule, and what was found.
    """
    inputs = _array(samples, recipe.data.input, f"{place}: data.input")
    where = f"{place}: input {recipe.data.input!r}"
    _check_dtype(inputs, where)
    if inputs.ndim < 2:
        raise DataError(f"{where} must have the shape (N, C, …), found {inputs.shape}")
    _check_finite(inputs, where)
    for task in recipe.tasks:
        where = f"{place}: tasks.{task.name}.target"
        check_labels(task, _array(samples, task.target, where), inputs.shape, f"{where} {task.target!r}")


def check_labels(task: Task, targets: np.ndarray, input_shape: tuple[int, ...], where: str) -> None:
    """Labels are numbers that the task allows, at least one is given, and maps are as large as the input's.

    Args:
        task: whose labels they are.
        targets: the data set's array.
        input_shape: that of the inputs ``(N, C, …)``.
        where: what the message begins with.

    Raises:
        DataError: the first fault, with the place, the rule, and what was found.
    """
    _check_dtype(targets, where)
    if fault := task.find_fault(targets):
        raise DataError(f"{where}: {fault}")
    if not any(given(task.labels(targets[part])).any() for part in in_parts(targets)):
        raise DataError(f"{where}: at least one label must be given, found none")
    if task.dense and targets.shape[1:] != input_shape[2:]:
        raise DataError(
            f"{where}: labels must have the input's height and width {input_shape[2:]}, found {targets.shape[1:]}"
        )


def _array(samples: Samples, name: str, where: str) -> np.ndarray:
    if name not in samples.arrays:
        near = difflib.get_close_matches(name, samples.arrays, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DataError(f"{where}: no array {name!r} in the data, found {', '.join(sorted(samples.arrays))}{hint}")
    return samples[name]


def _check_dtype(array: np.ndarray, where: str) -> None:
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: must be numbers, found dtype {array.dtype}")


def _check_finite(array: np.ndarray, where: str) -> None:
    bad = ~np.isfinite(array)
    if bad.any():
        raise DataError(
            f"{where}: values must be finite, found {int(bad.sum())} NaN or inf, the first at index {first_index(bad)}"
        )
