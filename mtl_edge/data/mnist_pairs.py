"""Two overlapping handwritten digits on one canvas: three tasks on one image.

The construction is like that of MultiMNIST (Sener & Koltun 2018, arXiv:1810.04650): a 36x36 canvas, one digit at
``[0:28, 0:28]``, one at ``[8:36, 8:36]`` (theirs is at ``[6:34, 6:34]``), the pixelwise maximum where they overlap.
The digits are split into train, validation and test *before* they are paired, so that no handwriting of the test pairs
was ever seen.
"""

from importlib.resources import files

import numpy as np

from mtl_edge.data.composites import ITEM, Items, brighten, check_input_name, each_equally_often
from mtl_edge.data.splits import Samples

CANVAS = 36


def load_digits() -> Items:
    """The 5,000 digits that come with the package."""
    with (files("mtl_edge.data") / "digits" / "mnist_5k.npz").open("rb") as stream, np.load(stream) as archive:
        return Items(archive["images"], archive["labels"].astype(np.int64))


def make_pairs(digits: Items, count: int, rng: np.random.Generator, name: str) -> Samples:
    """Draw pairs of digits and lay them over each other.

    Each digit is the left one equally often (as far as ``count`` allows); its partner is drawn uniformly, and may be
    of the same class.

    Args:
        digits: the pictures to draw from.
        count: number of pairs.
        rng: the source of chance.
        name: name of the image array in the result, ``(count, 1, 36, 36)`` uint8.

    Raises:
        RecipeError: the name is that of a label.
    """
    check_input_name(name, ("left", "right", "sum"), "mnist-pairs")
    left = each_equally_often(count, len(digits), rng)
    right = rng.integers(len(digits), size=count)
    canvas = np.zeros((count, 1, CANVAS, CANVAS), np.uint8)
    for chosen, corner in ((left, 0), (right, CANVAS - ITEM)):
        brighten(canvas[:, 0], digits.images[chosen], np.full((count, 2), corner))
    classes = digits.labels
    return Samples(
        {
            name: canvas,
            "left": classes[left],
            "right": classes[right],
            "sum": (classes[left] + classes[right]).astype(np.float32),
        }
    )
