"""Tests of :mod:`mtl_edge.data.idx`."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mtl_edge.data.idx import read_idx
from mtl_edge.errors import DataError

_CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def _idx(array: np.ndarray, code: int) -> bytes:
    return bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(sorted(_CODES)), st.booleans())
def test_what_was_written_is_read(tmp_path: Path, data: st.DataObject, dtype: str, zipped: bool) -> None:
    """Every type of the format, gzipped or not whatever the name says, in this machine's byte order."""
    array = data.draw(hnp.arrays(np.dtype(dtype), hnp.array_shapes(max_dims=3, max_side=4)))
    content = _idx(array, _CODES[dtype])
    (tmp_path / "x").write_bytes(gzip.compress(content, mtime=0) if zipped else content)
    found = read_idx(tmp_path / "x", dims=array.ndim)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)


_GOOD = _idx(np.zeros((2, 3), np.uint8), 8)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "found an empty file"),
        (b"PNG!" + _GOOD, "must begin with the mark of an idx file .* found 50 4e 47 21"),
        (b"\0\0\x07\x02" + _GOOD[4:], "must begin with the mark"),
        (_idx(np.zeros((2, 3, 1), np.uint8), 8), "must have 2 dimensions, found 3"),
        (_GOOD[:9], "is cut off within its dimensions, after 9 bytes"),
        (_GOOD[:-1], "2 x 3 values of 1 bytes make 18 bytes, found 17"),
        (_GOOD + b"\0", "make 18 bytes, found 19"),
        (gzip.compress(_GOOD, mtime=0)[:-9], "is a damaged or truncated gzip file"),
        (gzip.compress(_GOOD, mtime=0)[:-8] + b"\1" * 8, "is a damaged or truncated gzip file"),
        (b"\x1f\x8b\x08" + b"\xff" * 40, "is a damaged or truncated gzip file"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(tmp_path: Path, content: bytes, said: str) -> None:
    """Mark, dimensions, length and gzip are all checked, and the message begins with the file."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=f"x: .*{said}"):
        read_idx(tmp_path / "x", dims=2)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(DataError, match="nothing: cannot be read: No such file"):
        read_idx(tmp_path / "nothing", dims=1)
