"""Tests of :mod:`mtl_edge.data.fashion_pairs` and :mod:`mtl_edge.data.composites`."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_edge.data.composites import Items, each_equally_often, partners_of_other_classes
from mtl_edge.data.fashion_pairs import CANVAS, Geometry, make_fashion_pairs
from mtl_edge.data.mnist_pairs import load_digits, make_pairs
from mtl_edge.errors import DataError

GEOMETRIES: tuple[Geometry, ...] = ("fixed", "shifted")


def _numbered(count: int) -> Items:
    """Pictures that are bright only at their four corners and at their centre, which holds the picture's number + 1."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, ::27, ::27] = 255
    images[:, 14, 14] = np.arange(count) + 1
    return Items(images, np.arange(count) % 10)


@given(st.integers(1, 50), st.integers(11, 60), st.sampled_from(GEOMETRIES), st.integers(0, 99))
def test_a_pair_is_the_pixelwise_maximum_of_two_items_of_different_classes(
    count: int, among: int, geometry: Geometry, seed: int
) -> None:
    """The corners tell where the items lie, their centres which they are, and the labels are theirs."""
    items = _numbered(among)
    pairs = make_fashion_pairs(items, count, np.random.default_rng(seed), "image", geometry)
    assert (pairs["image"].shape, pairs["image"].dtype) == ((count, 1, CANVAS, CANVAS), np.uint8)
    assert pairs["left"].dtype == pairs["right"].dtype == np.int64
    assert (pairs["left"] != pairs["right"]).all()
    for canvas, left, right in zip(pairs["image"][:, 0], pairs["left"], pairs["right"], strict=True):
        bright = np.argwhere(canvas == 255)
        upper, lower = bright[0], bright[-1] - 27
        if geometry == "fixed":
            assert (upper.tolist(), lower.tolist()) == ([0, 0], [6, 6])
        if (upper == lower).all():
            continue  # the one hides the other's number
        expected = np.zeros((CANVAS, CANVAS), np.uint8)
        for (top, start), label in ((upper, left), (lower, right)):
            number = canvas[top + 14, start + 14] - 1
            assert items.labels[number] == label
            window = expected[top : top + 28, start : start + 28]
            np.maximum(window, items.images[number], out=window)
        np.testing.assert_array_equal(canvas, expected)


def test_shifted_items_move_by_up_to_four_pixels_in_each_direction() -> None:
    """All 25 places of either occur, equally often but for chance."""
    pairs = make_fashion_pairs(_numbered(40), 5000, np.random.default_rng(0), "image", "shifted")
    bright = [np.argwhere(canvas == 255) for canvas in pairs["image"][:, 0]]
    for corners, first in ((np.array([found[0] for found in bright]), 0), (np.array([f[-1] - 27 for f in bright]), 4)):
        _, times = np.unique(corners, axis=0, return_counts=True)
        assert (corners.min(), corners.max(), len(times)) == (first, first + 4, 25)
        assert times.min() > 140


@given(st.integers(1, 200), st.integers(1, 30), st.integers(0, 99))
def test_each_item_is_drawn_equally_often(count: int, among: int, seed: int) -> None:
    """The numbers of times differ by one at most."""
    times = np.bincount(each_equally_often(count, among, np.random.default_rng(seed)), minlength=among)
    assert times.sum() == count
    assert times.max() - times.min() <= 1


@given(st.lists(st.integers(0, 3), min_size=2, max_size=12).filter(lambda found: len(set(found)) > 1))
def test_a_partner_is_any_item_of_another_class(labels: list[int]) -> None:
    """With enough draws every one comes up, and none of the own class."""
    classes = np.array(labels)
    first = np.zeros(500, np.int64)
    partners = partners_of_other_classes(first, classes, np.random.default_rng(0))
    assert set(partners.tolist()) == set(np.flatnonzero(classes != classes[0]).tolist())


def test_items_of_one_class_make_no_pairs() -> None:
    """One line instead of an endless search."""
    with pytest.raises(DataError, match="two classes at least, found 1"):
        make_fashion_pairs(Items(np.zeros((5, 28, 28), np.uint8), np.ones(5, int)), 3, np.random.default_rng(0), "x")


def test_pairs_of_digits_are_the_same_bytes_for_ever() -> None:
    """The reference model of mnist-pairs was trained on these; its figures hold for no others."""
    pairs = make_pairs(load_digits(), 700, np.random.default_rng(7), "image")
    digest = hashlib.sha256()
    for name in ("image", "left", "right", "sum"):
        digest.update(np.ascontiguousarray(pairs[name], pairs[name].dtype.newbyteorder("<")).tobytes())
    assert digest.hexdigest() == "0da57063bf717a3d603c7c9624ba34c03d86291e6bfc357b6eb63371e6fc40a0"
