"""What must be true of samples before anything is computed from them."""

import numpy as np

from mtl_edge.data.rows import check_column
from mtl_edge.data.splits import Samples
from mtl_edge.errors import DataError
from mtl_edge.recipe import Recipe
from mtl_edge.tasks import Task, given
from mtl_edge.tasks.base import in_parts


def check_samples(samples: Samples, recipe: Recipe, place: str, *, gaps: bool = False) -> None:
    """Every array that the recipe names is there; inputs are finite, labels what their task allows.

    Args:
        samples: in memory or mapped.
        recipe: what they must fit.
        place: what errors call them.
        gaps: whether inputs may be missing, which is NaN.

    Raises:
        DataError: the first fault, with the place, the rule, and what was found.
    """
    inputs = _array(samples, recipe.data.input, f"{place}: data.input")
    where = f"{place}: input {recipe.data.input!r}"
    _check_dtype(inputs, where)
    if inputs.ndim < 2:
        raise DataError(f"{where} must have the shape (N, C, …), found {inputs.shape}")
    _check_finite(inputs, where, gaps)
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
    check_column(name, samples.arrays, where)
    return samples[name]


def _check_dtype(array: np.ndarray, where: str) -> None:
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: must be numbers, found dtype {array.dtype}")


def _check_finite(array: np.ndarray, where: str, gaps: bool) -> None:
    if array.dtype.kind != "f":
        return
    count, first = 0, None
    for rows in in_parts(array):
        bad = np.isinf(array[rows]) if gaps else ~np.isfinite(array[rows])
        if bad.any():
            count += int(bad.sum())
            position = np.unravel_index(bad.argmax(), bad.shape)
            first = first or (rows.start + int(position[0]), *map(int, position[1:]))
    if count:
        rule, found = ("finite or missing", "inf") if gaps else ("finite", "NaN or inf")
        raise DataError(f"{where}: values must be {rule}, found {count} {found}, the first at index {first}")
