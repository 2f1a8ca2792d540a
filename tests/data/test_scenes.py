"""Tests of :mod:`mtl_edge.data.scenes`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_edge.data.composites import Items
from mtl_edge.data.scenes import CANVAS, FADING, OVERLAP, SOLID, VISIBLE, _draw, _left_in_front, make_scenes
from mtl_edge.data.splits import Samples
from mtl_edge.errors import DataError


def _squares(count: int = 30) -> Items:
    """Full squares of one brightness: the picture's number + 100; labels 0 to 9."""
    images = np.zeros((count, 28, 28), np.uint8) + (np.arange(count) + 100).astype(np.uint8)[:, None, None]
    return Items(images, np.arange(count) % 10)


@pytest.fixture(scope="module")
def scenes() -> Samples:
    """Two hundred scenes of squares."""
    return make_scenes(_squares(), 200, np.random.default_rng(0), "image")


def test_shapes_and_ranges_are_as_promised(scenes: Samples) -> None:
    """Maps in the size of the image, counts from 1 to 4, answers yes, no and no question."""
    assert {name: (scenes[name].shape, scenes[name].dtype.name) for name in scenes.arrays} == {
        "image": ((200, 1, CANVAS, CANVAS), "uint8"),
        "segmentation": ((200, CANVAS, CANVAS), "uint8"),
        "depth": ((200, CANVAS, CANVAS), "float32"),
        "count": ((200,), "int64"),
        "left_in_front": ((200,), "int64"),
    }
    assert set(scenes["count"]) == {1, 2, 3, 4}
    assert set(scenes["left_in_front"]) == {-1, 0, 1}
    assert scenes["segmentation"].max() == 10


def test_background_is_black_and_has_no_depth(scenes: Samples) -> None:
    """And what is not background is bright and has one."""
    background = scenes["segmentation"] == 0
    np.testing.assert_array_equal(background, scenes["image"][:, 0] == 0)
    np.testing.assert_array_equal(background, np.isnan(scenes["depth"]))
    known = scenes["depth"][~background]
    assert 0 <= known.min() <= known.max() <= 1


def test_each_item_has_one_depth_one_class_and_the_light_of_its_depth(scenes: Samples) -> None:
    """As many depths as the count says; within one, all pixels are of one class and of one brightness."""
    squares = _squares()
    for image, classes, depth, count in zip(
        scenes["image"][:, 0], scenes["segmentation"], scenes["depth"], scenes["count"], strict=True
    ):
        depths = np.unique(depth[~np.isnan(depth)])
        assert len(depths) == count
        for one in depths:
            (label,), (light,) = np.unique(classes[depth == one]), np.unique(image[depth == one])
            candidates = squares.images[squares.labels == label - 1, 0, 0]
            assert np.abs(candidates * (1 - FADING * one) - light).min() <= 0.51


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 4))
def test_the_map_shows_the_nearest_item_at_each_pixel(seed: int, number: int) -> None:
    """Painted anew from the farthest to the nearest, the scene is the same; each item is seen well enough."""
    items, numbers = _squares(), np.full(8, number)
    scenes = make_scenes(items, 8, np.random.default_rng(seed), "image")
    rng = np.random.default_rng(seed)
    numbers = rng.integers(1, 5, size=8)
    heaps = _draw(items, numbers, rng)
    for scene in range(8):
        painted = np.zeros((CANVAS, CANVAS), np.uint8)
        owner = np.full((CANVAS, CANVAS), -1)
        for slot in reversed(range(numbers[scene])):
            top, left = heaps.corners[scene, slot]
            painted[top : top + 28, left : left + 28] = 1 + items.labels[heaps.items[scene, slot]]
            owner[top : top + 28, left : left + 28] = slot
        np.testing.assert_array_equal(painted, scenes["segmentation"][scene])
        seen = [(owner == slot).sum() for slot in range(numbers[scene])]
        assert min(seen) >= VISIBLE * 28 * 28


def test_the_question_is_about_the_two_items_that_share_most_pixels() -> None:
    """Asked of the drawn places: who is further left, and is it the nearer one?"""
    rng = np.random.default_rng(3)
    numbers = rng.integers(1, 5, size=300)
    heaps = _draw(_squares(), numbers, rng)
    for number, answer, corners in zip(numbers, _left_in_front(heaps), heaps.corners, strict=True):
        overlaps = {}
        for near in range(number):
            for far in range(near + 1, number):
                height, width = (28 - np.abs(corners[near] - corners[far])).clip(0)
                overlaps[near, far] = int(height * width)
        near, far = max(overlaps, key=lambda pair: overlaps[pair], default=(0, 0))
        if near == far or overlaps[near, far] < OVERLAP or corners[near, 1] == corners[far, 1]:
            assert answer == -1
        else:
            assert answer == (corners[near, 1] < corners[far, 1])


def test_each_number_of_items_is_equally_likely() -> None:
    """Scenes that are drawn again because an item was hidden keep their number."""
    scenes = make_scenes(_squares(), 2000, np.random.default_rng(1), "image")
    assert np.bincount(scenes["count"], minlength=5)[1:].min() > 430


def test_pictures_that_are_too_dark_to_be_seen_are_refused() -> None:
    """One line instead of an endless search."""
    dark = Items(np.full((5, 28, 28), SOLID - 1, np.uint8), np.arange(5))
    with pytest.raises(DataError, match="are the pictures darker than 16"):
        make_scenes(dark, 3, np.random.default_rng(0), "image")
