"""Several small pictures on one canvas: what the sources of composites have in common.

Pictures are split into train, validation and test *before* they are laid on canvases, so that nothing of a test canvas
was ever seen. (To split the canvases instead puts the same pictures on both sides.)
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from mtl_edge.errors import DataError, RecipeError

ITEM = 28
"""Height and width of the pictures that are laid on a canvas."""


@dataclass(frozen=True)
class Items:
    """Pictures to lay on canvases: images ``(N, 28, 28)`` uint8 and labels ``(N,)``."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: np.ndarray) -> "Items":
        """The pictures at these positions, copied."""
        return Items(self.images[indices], self.labels[indices])


def check_input_name(name: str, labels: Collection[str], source: str) -> None:
    """The recipe's name for the canvas is not that of a label.

    Raises:
        RecipeError: it is.
    """
    if name in labels:
        raise RecipeError(f"data.input: {source} has labels of the name {name!r}: choose another for the input")


def each_equally_often(count: int, among: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` positions below ``among`` in random order; the numbers of times that each comes differ by one."""
    rounds = -(-count // among)
    return np.concatenate([rng.permutation(among) for _ in range(rounds)])[:count]


def partners_of_other_classes(first: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each position in ``first`` one that is drawn uniformly among those with another label.

    Raises:
        DataError: all labels are the same.
    """
    in_order = np.argsort(labels, kind="stable")
    _, class_of, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise DataError(f"pairs of different classes need pictures of two classes at least, found {len(sizes)}")
    starts = np.cumsum(sizes) - sizes
    own = class_of[first]
    drawn = rng.integers(len(labels) - sizes[own])  # as if the own class, a run in this order, were not there
    partners: np.ndarray = in_order[drawn + np.where(drawn >= starts[own], sizes[own], 0)]
    return partners


def brighten(canvas: np.ndarray, images: np.ndarray, corners: np.ndarray) -> None:
    """Lay an image on each canvas, in place; the brighter pixel stays where something was there before.

    Args:
        canvas: ``(N, H, W)``.
        images: ``(N, 28, 28)``.
        corners: row and column of each image's upper left pixel ``(N, 2)``.
    """
    places, of = np.unique(corners, axis=0, return_inverse=True)
    for number, (top, left) in enumerate(places):
        rows = np.flatnonzero(of.reshape(-1) == number)
        window = canvas[rows, top : top + ITEM, left : left + ITEM]
        canvas[rows, top : top + ITEM, left : left + ITEM] = np.maximum(window, images[rows])
