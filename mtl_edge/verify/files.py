"""The files of a folder against the list of their hashes."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from mtl_edge.errors import ModelError
from mtl_edge.storage import sha256_of_file

_Record = TypeVar("_Record", bound=msgspec.Struct)
_LARGEST_RECORD = 16 << 20


def read_record(path: Path, kind: type[_Record]) -> _Record:
    """A JSON file that mtl-edge wrote, as it wrote it, to the last space.

    Raises:
        ModelError: it cannot be read, or any byte of it is another.
    """
    content = read_small(path)
    try:
        record = msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{path}: was changed, or is of another version of mtl-edge: {error}") from error
    if content != written(record):
        raise ModelError(f"{path}: must be as mtl-edge writes it, found other bytes: it was changed")
    return record


def written(record: msgspec.Struct) -> bytes:
    """How a record stands in its file."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def read_small(path: Path) -> bytes:
    """A file that is never large.

    Raises:
        ModelError: it cannot be read, or is large.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_RECORD + 1)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) > _LARGEST_RECORD:
        raise ModelError(f"{path}: must be below {_LARGEST_RECORD >> 20} MiB, found more")
    return content


def check_files(folder: Path, files: Mapping[str, str], *, besides: tuple[str, ...]) -> int:
    """Compare a folder with the list of its files; how many there are.

    Args:
        folder: what was exported.
        files: path in the folder, with slashes -> SHA-256.
        besides: files that the list cannot name: its own, and what was made of that.

    Raises:
        ModelError: a file is missing, is none of those, is a link, or has another hash; or the list names a place
            outside of the folder.
    """
    for name in files:
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or name.startswith("/") or "\\" in name or "\0" in name:
            raise ModelError(f"{folder}: files must be named by their path within the folder, found {name!r}")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise ModelError(f"{path}: must be a file or a folder, found a link")
        if path.is_file() and name not in files and name not in besides:
            raise ModelError(f"{path}: must not be there: it is not in the list of exported files")
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{path}: must be there, found no such file")
        if (found := sha256_of_file(path)) != expected:
            raise ModelError(f"{path}: must have the SHA-256 {expected}, found {found}: it was changed")
    return len(files)
