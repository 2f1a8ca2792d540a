"""Inputs as the command line names them."""

from pathlib import Path

import numpy as np
import pytest

from mtl_edge.errors import DataError
from mtl_edge.export.examples import read_examples


def test_shapes_become_arrays() -> None:
    """With a name or without, of float32 unless another dtype is named; always the same values."""
    image, ids = read_examples(["image=2x3x4:float32", "1x8:int64"])
    assert (image.name, image.array.shape, image.array.dtype) == ("image", (2, 3, 4), np.float32)
    assert (ids.name, ids.array.shape, ids.array.dtype) == (None, (1, 8), np.int64)
    assert set(np.unique(ids.array)) <= {0, 1}
    np.testing.assert_array_equal(read_examples(["image=2x3x4"])[0].array, image.array)


def test_files_are_read(tmp_path: Path) -> None:
    """Every array of an .npz is an input of its name, that of an .npy has none."""
    a, b = np.ones((2, 3)), np.zeros((2, 1), np.int32)
    np.savez(tmp_path / "in.npz", a=a, b=b)
    np.save(tmp_path / "c.npy", a)
    found = read_examples([str(tmp_path / "in.npz"), str(tmp_path / "c.npy")])
    assert [example.name for example in found] == ["a", "b", None]
    np.testing.assert_array_equal(found[2].array, a)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image=3xx4", "must be a shape such as"),
        ("image=1x3:float8", "dtype must be one of float32"),
        ("0x3", "sizes must be above zero"),
        ("absent.npy", "absent.npy: is not a readable .npy"),
    ],
)
def test_what_is_no_input_is_refused(text: str, message: str) -> None:
    """With the rule and what was found."""
    with pytest.raises(DataError, match=message):
        read_examples([text])


def test_an_input_is_given_once() -> None:
    """Twice is one too many."""
    with pytest.raises(DataError, match="each input must be given once, found 'x' twice"):
        read_examples(["x=1x2", "x=1x2"])


def test_pickles_in_files_are_not_read(tmp_path: Path) -> None:
    """An .npy of objects could run code."""
    np.save(tmp_path / "evil.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"evil\.npy: is not a readable \.npy"):
        read_examples([str(tmp_path / "evil.npy")])
