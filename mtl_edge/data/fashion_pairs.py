"""Two overlapping pieces of clothing of different classes on one canvas: two tasks of ten classes.

Both geometries are known as MultiFashion in the literature, which has several that do not agree:

- ``fixed``: one item at ``[0:28, 0:28]``, one at ``[6:34, 6:34]`` of a 36x36 canvas (Sener & Koltun 2018,
  arXiv:1810.04650, who then shrink it to 28x28, which is not done here);
- ``shifted``: one item in the upper left corner and one in the lower right one, each moved by up to 4 pixels in each
  direction, independently (Lin et al. 2019, "Pareto Multi-Task Learning", whose generator is not published).

Of the two pixels that meet the brighter one stays.
"""

from typing import Literal, assert_never

import numpy as np

from mtl_edge.data.composites import (
    ITEM,
    Items,
    brighten,
    check_input_name,
    each_equally_often,
    partners_of_other_classes,
)
from mtl_edge.data.splits import Samples

CANVAS = 36
SHIFT = 4
_SECOND_CORNER = 6

Geometry = Literal["fixed", "shifted"]


def make_fashion_pairs(
    items: Items, count: int, rng: np.random.Generator, name: str, geometry: Geometry = "fixed"
) -> Samples:
    """Draw pairs of items and lay them over each other.

    Each item is the left one equally often (as far as ``count`` allows); its partner is drawn uniformly among the items
    of the other classes.

    Args:
        items: the pictures to draw from.
        count: number of pairs.
        rng: the source of chance.
        name: name of the image array in the result, ``(count, 1, 36, 36)`` uint8; the labels are ``left`` and
            ``right``.
        geometry: where the items lie.

    Raises:
        RecipeError: the name is that of a label.
        DataError: all items are of one class.
    """
    check_input_name(name, ("left", "right"), "fashion-pairs")
    left = each_equally_often(count, len(items), rng)
    right = partners_of_other_classes(left, items.labels, rng)
    match geometry:
        case "fixed":
            upper, lower = np.zeros((count, 2), np.int64), np.full((count, 2), _SECOND_CORNER)
        case "shifted":
            upper = rng.integers(SHIFT + 1, size=(count, 2))
            lower = CANVAS - ITEM - rng.integers(SHIFT + 1, size=(count, 2))
        case _:
            assert_never(geometry)
    canvas = np.zeros((count, 1, CANVAS, CANVAS), np.uint8)
    brighten(canvas[:, 0], items.images[left], upper)
    brighten(canvas[:, 0], items.images[right], lower)
    return Samples({name: canvas, "left": items.labels[left], "right": items.labels[right]})
