"""Tests of :mod:`mtl_edge.data.check`."""

import re

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl_edge.data.check import check_samples
from mtl_edge.data.splits import Samples
from mtl_edge.errors import DataError
from mtl_edge.recipe import Recipe
from mtl_edge.tasks import Segmentation

PLACE = "npz:tiny.npz (train split)"

Arrays = dict[str, np.ndarray]


def _fault(arrays: Arrays, recipe: Recipe) -> str:
    """The message that the arrays are refused with, which is one line."""
    with pytest.raises(DataError) as caught:
        check_samples(Samples(arrays), recipe, PLACE)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float16, np.float32, np.float64])
def test_finite_numbers_of_any_type_are_accepted(
    tiny_arrays: Arrays, tiny_recipe: Recipe, dtype: type[np.number]
) -> None:
    """Neither inputs nor labels need one special dtype, and further arrays are no fault."""
    arrays = {name: array.astype(dtype) for name, array in tiny_arrays.items()}
    check_samples(Samples(arrays | {"remark": np.array(["x"] * 40)}), tiny_recipe, PLACE)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.sets(st.tuples(st.integers(0, 39), st.just(0), st.integers(0, 7), st.integers(0, 7)), min_size=1),
    bad=st.sampled_from([np.nan, np.inf, -np.inf]),
)
def test_bad_inputs_are_counted_and_the_first_is_shown(
    tiny_arrays: Arrays, tiny_recipe: Recipe, places: set[tuple[int, ...]], bad: float
) -> None:
    """NaN and both infinities are found wherever they are."""
    images = tiny_arrays["image"].astype(np.float32)
    for place in places:
        images[place] = bad
    assert _fault(tiny_arrays | {"image": images}, tiny_recipe) == (
        f"{PLACE}: input 'image': values must be finite, found {len(places)} NaN or inf, "
        f"the first at index {min(places)}"
    )


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
@pytest.mark.parametrize(("task", "target"), [("kind", "label"), ("size", "area")])
def test_infinite_labels_are_refused(
    tiny_arrays: Arrays, tiny_recipe: Recipe, task: str, target: str, bad: float
) -> None:
    """The message names the task, its array and the place; NaN is a label that nobody gave."""
    labels = tiny_arrays[target].astype(np.float64)
    labels[[7, 30]] = bad
    fault = _fault(tiny_arrays | {target: labels}, tiny_recipe)
    assert fault.startswith(f"{PLACE}: tasks.{task}.target {target!r}: ")
    assert "inf" in fault
    assert fault.endswith("at index 7")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gone=st.sets(st.integers(0, 39), max_size=37))
def test_labels_may_be_missing(tiny_arrays: Arrays, tiny_recipe: Recipe, gone: set[int]) -> None:
    """NaN among floats, -1 among classes."""
    kinds, sizes = tiny_arrays["label"].copy(), tiny_arrays["area"].copy()
    kinds[list(gone)], sizes[list(gone)] = -1, np.nan
    check_samples(Samples(tiny_arrays | {"label": kinds, "area": sizes}), tiny_recipe, PLACE)
    check_samples(Samples(tiny_arrays | {"label": np.where(kinds < 0, np.nan, kinds)}), tiny_recipe, PLACE)


@pytest.mark.parametrize(("task", "target", "mark"), [("kind", "label", -1), ("size", "area", np.nan)])
def test_a_split_without_any_label_is_refused(
    tiny_arrays: Arrays, tiny_recipe: Recipe, task: str, target: str, mark: float
) -> None:
    """There is nothing to learn from, and nothing to measure."""
    fault = _fault(tiny_arrays | {target: np.full(40, mark)}, tiny_recipe)
    assert fault == f"{PLACE}: tasks.{task}.target {target!r}: at least one label must be given, found none"


def test_a_class_count_that_the_labels_contradict_is_refused(tiny_arrays: Arrays, tiny_recipe: Recipe) -> None:
    """The message names the task, what its count allows, and the first label outside."""
    labels = np.array([0, 1, 2, 5] * 10)
    assert _fault(tiny_arrays | {"label": labels}, tiny_recipe) == (
        f"{PLACE}: tasks.kind.target 'label': classes = 3 allows the labels 0 to 2 (-1: no label), "
        "found 10 outside, the first is 5 at index 3"
    )


def test_a_constant_number_to_predict_is_refused(tiny_arrays: Arrays, tiny_recipe: Recipe) -> None:
    """A regression whose labels never change is a mistake in the data."""
    fault = _fault(tiny_arrays | {"area": np.ones(40)}, tiny_recipe)
    assert fault == f"{PLACE}: tasks.size.target 'area': labels must differ, found 1 for each of the 40"


def test_maps_of_labels_are_as_large_as_the_input(tiny_arrays: Arrays, tiny_recipe: Recipe) -> None:
    """A mask of another resolution is refused with both sizes."""
    task = Segmentation(name="parts", target="mask", classes=2)
    recipe = msgspec.structs.replace(tiny_recipe, tasks=(task,))
    check_samples(Samples(tiny_arrays | {"mask": np.zeros((40, 8, 8))}), recipe, PLACE)
    assert _fault(tiny_arrays | {"mask": np.zeros((40, 4, 8))}, recipe) == (
        f"{PLACE}: tasks.parts.target 'mask': labels must have the input's height and width (8, 8), found (4, 8)"
    )


def test_inputs_without_a_channel_axis_are_refused(tiny_arrays: Arrays, tiny_recipe: Recipe) -> None:
    """Networks read (N, C, …); one number per sample has no axis for the channels."""
    assert _fault(tiny_arrays | {"image": np.ones(40)}, tiny_recipe) == (
        f"{PLACE}: input 'image' must have the shape (N, C, …), found (40,)"
    )


@pytest.mark.parametrize(
    ("name", "key"), [("image", "data.input"), ("label", "tasks.kind.target"), ("area", "tasks.size.target")]
)
def test_a_missing_array_is_named_with_the_nearest_present_one(
    tiny_arrays: Arrays, tiny_recipe: Recipe, name: str, key: str
) -> None:
    """The message names the recipe's key, what the data holds, and the likely typing error."""
    arrays = {f"{key}s" if key == name else key: array for key, array in tiny_arrays.items()}
    assert _fault(arrays, tiny_recipe) == (
        f"{PLACE}: {key}: no array {name!r} in the data, found {', '.join(sorted(arrays))}; did you mean '{name}s'?"
    )


def test_a_missing_array_like_no_other_has_no_hint(tiny_arrays: Arrays, tiny_recipe: Recipe) -> None:
    """A wrong hint would be worse than none."""
    del tiny_arrays["area"]
    fault = _fault(tiny_arrays, tiny_recipe)
    assert fault == f"{PLACE}: tasks.size.target: no array 'area' in the data, found image, label"


@pytest.mark.parametrize("shape", [(40, 1), (40, 3), (20, 2, 1)])
def test_labels_of_more_than_one_dimension_are_refused(
    tiny_arrays: Arrays, tiny_recipe: Recipe, shape: tuple[int, ...]
) -> None:
    """One-hot labels and columns are not taken for something else."""
    fault = _fault(tiny_arrays | {"label": np.zeros(shape)}, tiny_recipe)
    assert fault == f"{PLACE}: tasks.kind.target 'label': labels must have the shape (N,), found {shape}"


@pytest.mark.parametrize(("name", "key"), [("image", "input 'image'"), ("label", "tasks.kind.target 'label'")])
@pytest.mark.parametrize("dtype", ["<U1", "S1", "datetime64[s]", "complex64"])
def test_arrays_that_are_not_real_numbers_are_refused(
    tiny_arrays: Arrays, tiny_recipe: Recipe, name: str, key: str, dtype: str
) -> None:
    """Texts, bytes, times and complex numbers are told by their dtype."""
    fault = _fault(tiny_arrays | {name: np.zeros(40, dtype)}, tiny_recipe)
    assert re.fullmatch(rf"{re.escape(PLACE)}: {re.escape(key)}: must be numbers, found dtype \S+", fault)


def test_inputs_may_have_gaps_where_the_network_fills_them(tiny_arrays: Arrays, tiny_recipe: Recipe) -> None:
    """A table's NaN is a missing cell; infinity is a fault there too."""
    rows = np.zeros((40, 3), np.float32)
    rows[4, 1] = np.nan
    check_samples(Samples(tiny_arrays | {"image": rows}), tiny_recipe, PLACE, gaps=True)
    rows[5, 2] = np.inf
    with pytest.raises(DataError) as caught:
        check_samples(Samples(tiny_arrays | {"image": rows}), tiny_recipe, PLACE, gaps=True)
    assert str(caught.value) == (
        f"{PLACE}: input 'image': values must be finite or missing, found 1 inf, the first at index (5, 2)"
    )
