"""The idx format of MNIST and its kin: a big-endian array of one type, plain or gzipped."""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from mtl_edge.errors import DataError

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"


def read_idx(path: Path, *, dims: int) -> np.ndarray:
    """Read an array of so many dimensions, in this machine's byte order.

    The layout: two zero bytes, the type's code, the number of dimensions, each dimension as a big-endian uint32, then
    the values in C order.

    Raises:
        DataError: the file cannot be read, is no idx, has other dimensions, or is shorter or longer than it says.
    """
    content = _unpacked(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _DTYPES:
        raise DataError(f"{path}: must begin with the mark of an idx file (00 00, a type), found {_bytes(content[:4])}")
    if content[3] != dims:
        raise DataError(f"{path}: must have {dims} dimensions, found {content[3]}")
    start = 4 + 4 * dims
    if len(content) < start:
        raise DataError(f"{path}: is cut off within its dimensions, after {len(content)} bytes")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dims, offset=4))
    dtype = np.dtype(_DTYPES[content[2]])
    expected = start + prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise DataError(
            f"{path}: {' x '.join(map(str, shape))} values of {dtype.itemsize} bytes make {expected} bytes, "
            f"found {len(content)}"
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _unpacked(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is a damaged or truncated gzip file: {error}") from error


def _bytes(content: bytes) -> str:
    return content.hex(" ") or "an empty file"
