"""What an ``.npz`` may be: an archive of arrays that unpacks to what its size can stand for."""

import zipfile
from typing import IO

from mtl_edge.errors import DataError

_FREE_BYTES = 1 << 30
_RATIO = 100
_MOST_ARRAYS = 4096
_LONGEST_NAME = 200


def check_archive(stream: IO[bytes], place: str) -> int:
    """Refuse archives that were made to fill a disk or a memory, before anything is unpacked; the stream is rewound.

    What unpacks to more than 1 GiB may be at most a hundred times the archive's size. Zip's own lists are bounds, since
    Python reads no more of a member than they say.

    Returns:
        How many bytes it unpacks to.

    Raises:
        DataError: it is too much, or has too many arrays, or two of one name.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
    stream.seek(0)
    unpacked = sum(member.file_size for member in members)
    if unpacked > max(_FREE_BYTES, _RATIO * size):
        raise DataError(
            f"{place}: arrays above 1 GiB must have at most {_RATIO} times the archive's size, found {unpacked} bytes "
            f"in {size}: if that is right, give a folder of .npy files"
        )
    names = [member.filename for member in members]
    if len(names) > _MOST_ARRAYS or len(set(names)) < len(names):
        found = f"{len(names)}" if len(names) > _MOST_ARRAYS else "two of one name"
        raise DataError(f"{place}: must hold at most {_MOST_ARRAYS} arrays, each of its own name, found {found}")
    for name in names:
        if len(name.encode(errors="replace")) > _LONGEST_NAME or "\0" in name:
            raise DataError(f"{place}: names of arrays must have at most {_LONGEST_NAME} bytes, found {name[:40]!r}")
    return unpacked
