"""Inputs of graphs that preprocess by themselves: what the caller feeds is as raw as it comes."""

from typing import ClassVar, Literal

import msgspec
import numpy as np

from mtl_edge.preprocessing.pixels import Pixels
from mtl_edge.preprocessing.table import CategoricalColumn

ChannelOrder = Literal["rgb", "bgr", "rgba", "bgra"]
"""How cameras and screens order the colours of a pixel; alpha is not read."""

MISSING = ""
"""The text that stands for a category that nobody gave."""


class RawPixels(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="raw-pixels", tag_field="kind"
):
    """The graph does what ``pixels`` says, so it reads pixels of their raw dtype.

    Attributes:
        pixels: what the graph does last.
        size: height and width that it resizes images to first; they are of any size, ``(N, H, W, C)`` with the channels
            last, as a camera gives them. None: samples are in the layout of the data set.
        order: of those channels, where it is not that of the training images. A network of three was trained on RGB; of
            one, it is given the luminance of colours.
    """

    pixels: Pixels
    size: tuple[int, int] | None = None
    order: ChannelOrder | None = None

    @property
    def dtype(self) -> str:
        """What the graph reads."""
        return self.pixels.raw_dtype

    @property
    def raw_dtype(self) -> str:
        """What the data holds."""
        return self.pixels.raw_dtype

    @property
    def as_it_is(self) -> bool:
        """Whether nothing is known to be done to samples, in the graph or before it."""
        values = self.pixels
        return self.size is None and (values.scale, {*values.mean}, {*values.std}) == (1, {0}, {1})

    def layout(self, rank: int) -> str:
        """The axes of what the graph reads: channels come last where it resizes, as a camera gives them."""
        return self.pixels.layout(rank) if self.size is None else "NHWC"

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Samples of a data set ``(N, C, …)`` -> what the graph reads; nothing is computed."""
        if self.size is None:
            return raw
        images: np.ndarray = raw.transpose(0, 2, 3, 1)
        if self.order is not None:
            coloured = np.broadcast_to(images, (*images.shape[:3], 3))
            opaque = np.full_like(images[..., :1], 255)
            images = np.concatenate([coloured, opaque], axis=3)[..., ["rgba".index(name) for name in self.order]]
        return np.ascontiguousarray(images)

    def raw_shape(self, shape: tuple[int | str, ...]) -> tuple[int | str, ...]:
        """Shape of a data set's samples, from that of the graph's input."""
        return shape if self.size is None else (shape[0], len(self.pixels.std), *self.size)


class RawNumbers(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="raw-numbers", tag_field="kind"
):
    """The numbers of a table's rows, float32 ``(N, columns)``; NaN where one is missing.

    Attributes:
        columns: their names, in this order.
        places: which columns of the data set's encoded rows they are.
        of: how many columns those rows have.
    """

    dtype: ClassVar[str] = "float32"
    raw_dtype: ClassVar[str] = "float32"

    columns: tuple[str, ...]
    places: tuple[int, ...]
    of: int

    def layout(self, rank: int) -> str:
        """The axes: rows and columns."""
        return "NC"

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Encoded rows -> the numbers among their columns."""
        return raw[:, list(self.places)].astype(np.float32)

    def raw_shape(self, shape: tuple[int | str, ...]) -> tuple[int | str, ...]:
        """Shape of the encoded rows, from that of the graph's input."""
        return (shape[0], self.of)


class RawCategories(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="raw-categories", tag_field="kind"
):
    """The categories of a table's rows as texts ``(N, columns)``; an empty one is missing, any other may be unknown.

    Attributes:
        columns: which texts the graph knows; whole numbers stand without a point, as in ``3``.
        places: which columns of the data set's encoded rows they are.
        of: how many columns those rows have.
    """

    dtype: ClassVar[str] = "string"
    raw_dtype: ClassVar[str] = "float32"

    columns: tuple[CategoricalColumn, ...]
    places: tuple[int, ...]
    of: int

    def layout(self, rank: int) -> str:
        """The axes: rows and columns."""
        return "NC"

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Encoded rows -> the texts that their codes stand for, as objects."""
        texts = np.empty((len(raw), len(self.columns)), object)
        for position, (column, place) in enumerate(zip(self.columns, self.places, strict=True)):
            names = np.array([MISSING, *column.categories], object)
            texts[:, position] = names[raw[:, place].astype(np.int64)]
        return texts

    def raw_shape(self, shape: tuple[int | str, ...]) -> tuple[int | str, ...]:
        """Shape of the encoded rows, from that of the graph's input."""
        return (shape[0], self.of)
