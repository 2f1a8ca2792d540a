"""One to four pieces of clothing in a heap on one canvas: dense and whole-picture tasks on real pixels.

The pictures are those of Fashion-MNIST; where they lie, and what covers what, is drawn, so that every label is known
exactly. There is nothing published to compare with.

Items lie at different depths: a nearer one covers a farther one, and light fades with depth, which is what there is to
see of it.
"""

from dataclasses import dataclass

import numpy as np

from mtl_edge.data.composites import ITEM, Items, check_input_name
from mtl_edge.data.splits import Samples
from mtl_edge.errors import DataError

CANVAS = 64
MOST_ITEMS = 4
SOLID = 16
"""From this brightness on a pixel is part of the item: what is darker is the picture's background, or its noise."""
FADING = 0.6
"""Share of the light that an item at depth 1 has lost."""
VISIBLE = 0.3
"""Share of each item's pixels that no other item may cover: an item that cannot be seen cannot be counted."""
OVERLAP = 30
"""Number of pixels that two items must share before it is asked which is in front."""
_CHUNK = 1024  # scenes at a time: 17 MB of layers
_ATTEMPTS = 100
_TARGETS = ("count", "depth", "left_in_front", "segmentation")


@dataclass(frozen=True)
class _Heaps:
    """What lies where in n scenes; slots are ordered from the nearest to the farthest, the absent ones last.

    ``items`` and ``depths`` are ``(n, slots)``, ``corners`` ``(n, slots, 2)``, ``layers`` ``(n, slots, H, W)``: each
    item alone on its canvas.
    """

    items: np.ndarray
    depths: np.ndarray
    corners: np.ndarray
    layers: np.ndarray


def make_scenes(items: Items, count: int, rng: np.random.Generator, name: str) -> Samples:
    """Draw scenes with one to four items, each number equally often as far as chance allows.

    The targets are ``segmentation`` ``(count, 64, 64)`` uint8, 0 for the background and the item's class + 1
    elsewhere; ``depth`` ``(count, 64, 64)`` float32 in [0, 1], NaN on the background; ``count``, 1 to 4; and
    ``left_in_front``: of the two items that share most pixels, whether the one further to the left covers the other, -1
    where no two items share :data:`OVERLAP` pixels or where both lie in the same columns.

    Args:
        items: the pictures to draw from.
        count: number of scenes.
        rng: the source of chance.
        name: name of the image array in the result, ``(count, 1, 64, 64)`` uint8.

    Raises:
        RecipeError: the name is that of a target.
        DataError: no scene can be made in which every item is seen, because the pictures are too dark.
    """
    check_input_name(name, _TARGETS, "fashion-scenes")
    canvas = np.zeros((count, 1, CANVAS, CANVAS), np.uint8)
    segmentation = np.zeros((count, CANVAS, CANVAS), np.uint8)
    depth = np.full((count, CANVAS, CANVAS), np.nan, np.float32)
    numbers = rng.integers(1, MOST_ITEMS + 1, size=count)
    left_in_front = np.full(count, -1, np.int64)
    for start in range(0, count, _CHUNK):
        part = slice(start, start + _CHUNK)
        heaps = _draw(items, numbers[part], rng)
        owners = _owners(heaps)
        scene, row, column = np.nonzero(owners >= 0)
        slot = owners[scene, row, column]
        depths = heaps.depths[scene, slot]
        light = heaps.layers[scene, slot, row, column] * (1 - FADING * depths)
        canvas[part][scene, 0, row, column] = light.round().astype(np.uint8)
        segmentation[part][scene, row, column] = 1 + items.labels[heaps.items[scene, slot]]
        depth[part][scene, row, column] = depths
        left_in_front[part] = _left_in_front(heaps)
    return Samples(
        {
            name: canvas,
            "segmentation": segmentation,
            "depth": depth,
            "count": numbers,
            "left_in_front": left_in_front,
        }
    )


def _draw(items: Items, numbers: np.ndarray, rng: np.random.Generator) -> _Heaps:
    """Heaps with these numbers of items; those in which one is hidden are drawn again."""
    heaps = _draw_any(items, numbers, rng)
    for _ in range(_ATTEMPTS):
        redo = np.flatnonzero(_some_item_is_hidden(heaps, numbers))
        if not len(redo):
            return heaps
        again = _draw_any(items, numbers[redo], rng)
        for field in ("items", "depths", "corners", "layers"):
            getattr(heaps, field)[redo] = getattr(again, field)
    raise DataError(f"fashion-scenes: no scene shows all of its items; are the pictures darker than {SOLID} of 255?")


def _draw_any(items: Items, numbers: np.ndarray, rng: np.random.Generator) -> _Heaps:
    shape = (len(numbers), MOST_ITEMS)
    present = np.arange(MOST_ITEMS) < numbers[:, None]
    drawn = rng.integers(len(items), size=shape)
    corners = rng.integers(CANVAS - ITEM + 1, size=(*shape, 2))
    depths = np.sort(np.where(present, rng.random(shape), np.inf), axis=1)
    scene, slot = np.nonzero(present)
    top, left = (corners[scene, slot, axis][:, None, None] for axis in (0, 1))
    row, column = np.arange(ITEM)[:, None], np.arange(ITEM)
    layers = np.zeros((*shape, CANVAS, CANVAS), np.uint8)
    layers[scene[:, None, None], slot[:, None, None], top + row, left + column] = items.images[drawn[scene, slot]]
    return _Heaps(drawn, depths, corners, layers)


def _owners(heaps: _Heaps) -> np.ndarray:
    """The slot of the item that is seen at each pixel ``(n, H, W)``, -1 where none is."""
    solid = heaps.layers >= SOLID
    nearest: np.ndarray = np.where(solid.any(axis=1), solid.argmax(axis=1), -1)
    return nearest


def _some_item_is_hidden(heaps: _Heaps, numbers: np.ndarray) -> np.ndarray:
    owners = _owners(heaps)
    seen = np.stack([(owners == slot).sum(axis=(1, 2)) for slot in range(MOST_ITEMS)], axis=1)
    size = (heaps.layers >= SOLID).sum(axis=(2, 3))
    present = np.arange(MOST_ITEMS) < numbers[:, None]
    hidden: np.ndarray = (present & ((seen < VISIBLE * size) | (size == 0))).any(axis=1)
    return hidden


def _left_in_front(heaps: _Heaps) -> np.ndarray:
    """1, 0 or -1 for each scene, as :func:`make_scenes` says."""
    nearer, farther = np.triu_indices(MOST_ITEMS, k=1)
    solid = (heaps.layers >= SOLID).reshape(len(heaps.layers), MOST_ITEMS, -1).astype(np.float32)
    shared = (solid @ solid.transpose(0, 2, 1))[:, nearer, farther]
    most = shared.argmax(axis=1)
    every = np.arange(len(most))
    columns = heaps.corners[:, :, 1]
    near_column, far_column = columns[every, nearer[most]], columns[every, farther[most]]
    asked = (shared[every, most] >= OVERLAP) & (near_column != far_column)
    answer: np.ndarray = np.where(asked, near_column < far_column, -1)
    return answer
