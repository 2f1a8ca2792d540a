"""Weights that stand in files of their own: beside the model or below, and nowhere else."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from mtl_edge.errors import ModelError


def check_external(entries: Mapping[str, str], folder: Path | None, needed: int, place: str) -> str:
    """Where a tensor's bytes are, once it is known that they are there and within the model's folder.

    Args:
        entries: the tensor's ``external_data``.
        folder: the model's; None for a model in memory, which can have no such files.
        needed: how many bytes the tensor declares.
        place: what an error names.

    Raises:
        ModelError: the path leaves the folder, by its name or by a link, or the file does not hold the bytes.
    """
    location = entries.get("location", "")
    parts = (*PurePosixPath(location).parts, *PureWindowsPath(location).parts)
    absolute = location.startswith(("/", "\\")) or PureWindowsPath(location).drive
    if folder is None or not location or "\0" in location or absolute or ".." in parts:
        raise ModelError(f"{place}: its bytes must be in a file within the model's folder, found {location!r}")
    path = folder / location
    try:
        inside = path.resolve(strict=True).is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{place}: its bytes must be in {location!r}, which cannot be read: {reason}") from error
    if not inside:
        raise ModelError(f"{place}: its bytes must be in a file within the model's folder, found a link out of it")
    if not path.is_file():
        raise ModelError(f"{place}: its bytes must be in {location!r}, which is no file")
    offset, length = (_whole(entries.get(key, default), key, place) for key, default in _defaults(needed))
    size = path.stat().st_size
    if length != needed or offset + length > size:
        raise ModelError(
            f"{place}: must have {needed} bytes in {location!r}, found {length} at {offset} of a file of {size}"
        )
    return location


def _defaults(needed: int) -> tuple[tuple[str, str], ...]:
    return ("offset", "0"), ("length", str(needed))


def _whole(value: str, key: str, place: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise ModelError(f"{place}: the {key} of its bytes must be a whole number, found {value[:40]!r}")
    return int(value)
