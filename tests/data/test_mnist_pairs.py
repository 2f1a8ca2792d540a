"""Tests of :mod:`mtl_edge.data.mnist_pairs`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_edge.data import generated
from mtl_edge.data.composites import Items
from mtl_edge.data.mnist_pairs import CANVAS, load_digits, make_pairs
from mtl_edge.data.splits import Samples, Splits
from mtl_edge.recipe import Recipe, load_recipe
from mtl_edge.storage import sha256_of

PAIRS_RECIPE = """\
seed = {seed}

[data]
source = "mnist-pairs"
samples = [90, 40, 60]
calibration = 16

[tasks.left]
kind = "multiclass"
target = "left"
classes = 10

[tasks.sum]
kind = "regression"
target = "sum"

[net]
trunk = "resnet"
"""


@pytest.fixture
def pairs_recipe(write_recipe: Callable[[str], Path]) -> Callable[[int], Recipe]:
    """A recipe of few pairs, for a seed."""
    return lambda seed: load_recipe(write_recipe(PAIRS_RECIPE.format(seed=seed)))


def _numbered(count: int) -> Items:
    """Images that are random but for their two outer corners, which hold the image's number, and labels 0 to 9."""
    images = np.random.default_rng(1).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    images[:, 0, 0] = images[:, -1, -1] = np.arange(count)
    return Items(images, np.arange(count) % 10)


def _sources(canvas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the left and the right image, from the corners where they do not overlap."""
    return canvas[:, 0, 0, 0].astype(int), canvas[:, 0, -1, -1].astype(int)


def test_the_package_brings_five_thousand_different_digits() -> None:
    """28x28 pixels of uint8, all ten classes equally often, and no image twice."""
    digits = load_digits()
    assert (digits.images.shape, digits.images.dtype) == ((5000, 28, 28), np.uint8)
    assert np.bincount(digits.labels).tolist() == [500] * 10
    assert len({image.tobytes() for image in digits.images}) == 5000


@given(st.integers(1, 60), st.integers(2, 30), st.integers(0, 100))
def test_a_pair_is_the_pixelwise_maximum_of_two_placed_digits(count: int, among: int, seed: int) -> None:
    """One digit at [0:28, 0:28], one at [8:36, 8:36], zero elsewhere, the brighter pixel where they meet."""
    digits = _numbered(among)
    canvas = make_pairs(digits, count, np.random.default_rng(seed), "image")["image"]
    assert (canvas.shape, canvas.dtype) == ((count, 1, CANVAS, CANVAS), np.uint8)
    for picture, left, right in zip(canvas[:, 0], *_sources(canvas), strict=True):
        upper, lower = np.zeros((2, 36, 36), np.uint8)
        upper[0:28, 0:28] = digits.images[left]
        lower[8:36, 8:36] = digits.images[right]
        np.testing.assert_array_equal(picture, np.maximum(upper, lower))


@given(st.integers(1, 60), st.integers(0, 100))
def test_labels_are_those_of_the_digits_on_the_canvas(count: int, seed: int) -> None:
    """Left and right as whole numbers, their sum as float32."""
    digits = _numbered(25)
    pairs = make_pairs(digits, count, np.random.default_rng(seed), "image")
    left, right = _sources(pairs["image"])
    np.testing.assert_array_equal(pairs["left"], digits.labels[left])
    np.testing.assert_array_equal(pairs["right"], digits.labels[right])
    np.testing.assert_array_equal(pairs["sum"], digits.labels[left] + digits.labels[right])
    assert {name: pairs[name].dtype.name for name in ("left", "right", "sum")} == {
        "left": "int64",
        "right": "int64",
        "sum": "float32",
    }


@given(st.integers(1, 100), st.integers(2, 30))
def test_each_digit_is_the_left_one_equally_often(count: int, among: int) -> None:
    """The numbers of times differ by one at most."""
    pairs = make_pairs(_numbered(among), count, np.random.default_rng(0), "image")
    times = np.bincount(_sources(pairs["image"])[0], minlength=among)
    assert times.max() - times.min() <= 1


def test_no_digit_is_in_two_splits(
    pairs_recipe: Callable[[int], Recipe], splits_of: Callable[[Recipe], Splits], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digits are split before they are paired: all 5,000 are used, each in one split only."""
    seen: list[set[bytes]] = []

    def record(digits: Items, *rest: object) -> Samples:
        seen.append({image.tobytes() for image in digits.images})
        return make_pairs(digits, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(generated, "make_pairs", record)
    splits_of(pairs_recipe(0))
    assert len(seen) == 3
    assert sum(map(len, seen)) == len(set.union(*seen)) == 5000


def test_no_handwriting_of_the_test_pairs_is_in_the_other_pairs(
    pairs_recipe: Callable[[int], Recipe], splits_of: Callable[[Recipe], Splits]
) -> None:
    """Seen from outside: every canvas's undisturbed strip leads back to digits that no other split shows."""
    images = load_digits().images
    splits = splits_of(pairs_recipe(0))
    known = {image[:8].tobytes(): set[int]() for image in images}
    for number, image in enumerate(images):
        known[image[:8].tobytes()].add(number)
    shown = []
    for samples in (splits.train, splits.val, splits.test):
        strips = [canvas[0, :8, :28].tobytes() for canvas in samples["image"]]
        candidates = [known[strip] for strip in strips]
        shown.append({next(iter(found)) for found in candidates if len(found) == 1})
    assert all(len(found) > 20 for found in shown)
    assert sum(map(len, shown)) == len(set.union(*shown))


def test_one_seed_gives_the_same_pairs_and_another_gives_others(
    pairs_recipe: Callable[[int], Recipe], splits_of: Callable[[Recipe], Splits]
) -> None:
    """All chance comes from the recipe's seed."""
    first, again, other = (splits_of(pairs_recipe(seed)) for seed in (5, 5, 6))
    for name in ("train", "val", "calib", "test"):
        mine, same, different = (getattr(splits, name) for splits in (first, again, other))
        assert all(np.array_equal(mine[key], same[key]) for key in mine.arrays)
        assert not np.array_equal(mine["image"], different["image"])


def test_the_recipe_says_how_many_pairs_each_split_has(
    pairs_recipe: Callable[[int], Recipe], splits_of: Callable[[Recipe], Splits]
) -> None:
    """``samples`` counts pairs of train, validation and test; ``calibration`` those to calibrate with."""
    splits = splits_of(pairs_recipe(0))
    assert [len(part) for part in (splits.train, splits.val, splits.test, splits.calib)] == [90, 40, 60, 16]


def test_the_reference_pairs_are_those_that_the_reference_model_was_trained_on(
    splits_of: Callable[[Recipe], Splits],
) -> None:
    """The reference recipe gives the same pixels for ever, so that the published model can be made again."""
    recipe = load_recipe(Path(__file__).parents[2] / "models" / "mnist-pairs" / "recipe.toml")
    train = splits_of(recipe).train
    assert sha256_of(train["image"].tobytes())[:12] == "73e6c7111e7e"
    assert sha256_of(train["sum"].tobytes())[:12] == "128e3102d954"
