"""Tests of :mod:`mtl_edge.data.source`."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl_edge.data.fingerprint import source_fingerprint
from mtl_edge.data.splits import Splits
from mtl_edge.errors import DataError, RecipeError
from mtl_edge.recipe import Recipe

_shared_file = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
"""The examples only read the fixtures' file."""


def _changed(recipe: Recipe, **data: object) -> Recipe:
    return msgspec.structs.replace(recipe, data=msgspec.structs.replace(recipe.data, **data))


def _numbers(splits: Splits, name: str) -> list[float]:
    return [float(number) for number in getattr(splits, name)["area"]]


@_shared_file
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.usefixtures("tiny_data")
def test_splits_of_a_file_are_disjoint_and_cover_it(
    splits_of: Callable[[Recipe], Splits], tiny_recipe: Recipe, seed: int
) -> None:
    """Each sample is in exactly one of train, validation and test."""
    splits = splits_of(msgspec.structs.replace(tiny_recipe, seed=seed))
    parts = [_numbers(splits, name) for name in ("train", "val", "test")]
    assert [len(part) for part in parts] == [24, 8, 8]
    assert sorted(number for part in parts for number in part) == list(range(40))


@_shared_file
@given(shares=st.tuples(*[st.floats(0.2, 1)] * 3))
@pytest.mark.usefixtures("tiny_data")
def test_shares_need_not_add_up_to_one(
    splits_of: Callable[[Recipe], Splits], tiny_recipe: Recipe, shares: tuple[float, float, float]
) -> None:
    """Shares are taken relative to their sum, to within one sample, and no sample is lost."""
    splits = splits_of(_changed(tiny_recipe, split=shares))
    sizes = [len(splits.train), len(splits.val), len(splits.test)]
    assert sum(sizes) == 40
    assert sizes == pytest.approx([40 * share / sum(shares) for share in shares], abs=1.001)


@pytest.mark.usefixtures("tiny_data")
def test_samples_stay_whole(
    splits_of: Callable[[Recipe], Splits], tiny_recipe: Recipe, tiny_arrays: dict[str, np.ndarray]
) -> None:
    """Shuffling keeps each image with its own labels."""
    splits = splits_of(tiny_recipe)
    for samples in (splits.train, splits.val, splits.calib, splits.test):
        numbers = samples["area"].astype(int)
        for name, array in tiny_arrays.items():
            np.testing.assert_array_equal(samples[name], array[numbers])


@pytest.mark.usefixtures("tiny_data")
@pytest.mark.parametrize(("asked", "given_"), [(1, 1), (8, 8), (1000, 24)])
def test_calibration_samples_are_a_part_of_train(
    splits_of: Callable[[Recipe], Splits], tiny_recipe: Recipe, asked: int, given_: int
) -> None:
    """As many as the recipe asks for, none twice, all of train if it has no more."""
    splits = splits_of(_changed(tiny_recipe, calibration=asked))
    calib = _numbers(splits, "calib")
    assert len(calib) == len(set(calib)) == given_
    assert set(calib) <= set(_numbers(splits, "train"))


@pytest.mark.usefixtures("tiny_data")
def test_the_seed_decides_the_splits(splits_of: Callable[[Recipe], Splits], tiny_recipe: Recipe) -> None:
    """One seed, one order; another seed, another order."""
    first, again, other = (splits_of(msgspec.structs.replace(tiny_recipe, seed=seed)) for seed in (1, 1, 2))
    for name in ("train", "val", "calib", "test"):
        assert _numbers(first, name) == _numbers(again, name)
    assert _numbers(first, "train") != _numbers(other, "train")


@pytest.mark.usefixtures("tiny_data")
@pytest.mark.parametrize(
    ("shares", "empty"), [((1.0, 1e-6, 1.0), "val"), ((1e-6, 1.0, 1.0), "train"), ((1.0, 1.0, 1e-6), "test")]
)
def test_an_empty_split_is_refused(
    splits_of: Callable[[Recipe], Splits], tiny_recipe: Recipe, shares: tuple[float, ...], empty: str
) -> None:
    """The message names the source, the split, the number of samples and the shares."""
    with pytest.raises(DataError) as caught:
        splits_of(_changed(tiny_recipe, split=shares))
    assert str(caught.value) == (f"npz:tiny.npz: the {empty} split is empty: 40 samples in the shares {shares}")


@pytest.mark.parametrize("unknown", ["mnist-pair", "mnist-pairs:x", "hello-mlp:x", "zoo:", "xls:tiny.xls", "npz:"])
def test_an_unknown_source_is_refused(splits_of: Callable[[Recipe], Splits], tiny_recipe: Recipe, unknown: str) -> None:
    """The message says which sources there are."""
    with pytest.raises(RecipeError) as caught:
        splits_of(_changed(tiny_recipe, source=unknown))
    message = str(caught.value)
    assert message.startswith("data.source: must be mnist-pairs, fashion-pairs, ")
    assert f" or python:MODULE:FUNCTION, found {unknown!r}" in message


def test_a_missing_file_is_named(splits_of: Callable[[Recipe], Splits], tiny_recipe: Recipe) -> None:
    """Reading and fingerprinting tell the same path, which is relative to the recipe."""
    for read in (splits_of, source_fingerprint):
        with pytest.raises(DataError) as caught:
            read(tiny_recipe)
        assert str(caught.value).startswith(f"{tiny_recipe.folder / 'tiny.npz'}: cannot be read: ")


def test_faulty_samples_are_named_with_their_split(
    splits_of: Callable[[Recipe], Splits], tiny_recipe: Recipe, tiny_data: Path, tiny_arrays: dict[str, np.ndarray]
) -> None:
    """Every split is checked before anything is computed from it."""
    last = int(splits_of(tiny_recipe).test["area"][-1])
    labels = tiny_arrays["label"].copy()
    labels[last] = 9
    np.savez(tiny_data, **tiny_arrays | {"label": labels})
    with pytest.raises(
        DataError,
        match=r"^npz:tiny\.npz \(test split\): tasks\.kind\.target 'label': .*found 1 outside.* 9 at index 7$",
    ):
        splits_of(tiny_recipe)


def test_the_fingerprint_follows_the_file(tiny_recipe: Recipe, tiny_data: Path) -> None:
    """The same bytes give the same fingerprint, one changed byte another."""
    first = source_fingerprint(tiny_recipe)
    assert source_fingerprint(tiny_recipe) == first
    content = bytearray(tiny_data.read_bytes())
    content[100] ^= 1
    tiny_data.write_bytes(content)
    assert source_fingerprint(tiny_recipe) not in (first, None)


def test_a_built_in_source_has_no_fingerprint(tiny_recipe: Recipe) -> None:
    """What comes with the package is told by the package's version and code."""
    assert source_fingerprint(_changed(tiny_recipe, source="mnist-pairs")) is None


def test_arrays_come_in_dtypes_that_training_understands(
    splits_of: Callable[[Recipe], Splits], tiny_recipe: Recipe, tiny_arrays: dict[str, np.ndarray]
) -> None:
    """Foreign byte orders, booleans and half floats are converted; arrays that no task names stay out."""
    arrays = {
        "image": tiny_arrays["image"].astype(">f4"),
        "label": tiny_arrays["label"].astype(np.uint16),
        "area": (tiny_arrays["area"] > 5),
        "other": np.zeros(40, "U3"),
    }
    np.savez(tiny_recipe.folder / "tiny.npz", **arrays)
    train = splits_of(tiny_recipe).train
    assert {name: array.dtype.str for name, array in train.arrays.items()} == {
        "image": np.dtype(np.float32).str,
        "label": np.dtype(np.int64).str,
        "area": np.dtype(np.int64).str,
    }
