"""Raw inputs are made of what a data set holds, and nothing is computed."""

import numpy as np

from mtl_edge.preprocessing import CategoricalColumn, Pixels, RawCategories, RawNumbers, RawPixels

PIXELS = Pixels(raw_dtype="uint8", scale=1 / 255, mean=(0.5, 0.25), std=(0.5, 2.0))
ROWS = np.array([[1.5, 2, 30], [np.nan, 0, 40]], np.float32)


def test_images_become_channels_last() -> None:
    """A data set's ``(N, C, H, W)`` is what a camera gives as ``(N, H, W, C)``."""
    raw = np.arange(2 * 2 * 3 * 4, dtype=np.uint8).reshape(2, 2, 3, 4)
    steps = RawPixels(pixels=PIXELS, size=(3, 4))
    np.testing.assert_array_equal(steps.apply(raw), raw.transpose(0, 2, 3, 1))
    assert (steps.dtype, steps.raw_dtype) == ("uint8", "uint8")
    assert steps.raw_shape(("batch", "height", "width", 2)) == ("batch", 2, 3, 4)


def test_other_grids_keep_their_layout() -> None:
    """Vectors and sequences are read as the data set holds them."""
    raw = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    steps = RawPixels(pixels=PIXELS)
    np.testing.assert_array_equal(steps.apply(raw), raw)
    assert steps.raw_shape(("batch", 2, 2)) == ("batch", 2, 2)


def test_rows_are_parted_into_numbers_and_texts() -> None:
    """Codes become the texts that they stand for, code 0 an empty one; numbers stay, NaN among them."""
    column = CategoricalColumn(name="colour", categories=("red", "blue"))
    texts = RawCategories(columns=(column,), places=(1,), of=3)
    numbers = RawNumbers(columns=("age", "height"), places=(0, 2), of=3)
    assert texts.apply(ROWS).tolist() == [["blue"], [""]]
    np.testing.assert_array_equal(numbers.apply(ROWS), ROWS[:, [0, 2]])
    assert texts.raw_shape(("batch", 1)) == numbers.raw_shape(("batch", 2)) == ("batch", 3)
