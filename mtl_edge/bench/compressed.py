"""How small a file becomes on its way: zeros in weights are bytes like any others until it is compressed."""

import zlib
from pathlib import Path

LEVEL = 6
"""Of zlib, its usual one: what the archives of apps and web servers do."""

_CHUNK = 2**20


def compressed_bytes(path: Path) -> int:
    """The size of a file's content after zlib."""
    packer, size = zlib.compressobj(LEVEL), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size += len(packer.compress(chunk))
    return size + len(packer.flush())
