"""Where fetched data sets stand on this machine.

The folder is ``$MTL_EDGE_CACHE``, or the platform's own place for caches; what is in it can be fetched again.
"""

import os
import sys
from pathlib import Path

from mtl_edge.errors import DataError
from mtl_edge.storage import sha256_of_file
from mtl_edge.zoo.catalogue import DataFile, DataSet, find_data_set


def cache_folder() -> Path:
    """The folder of everything that mtl-edge has fetched; it need not exist yet."""
    if chosen := os.environ.get("MTL_EDGE_CACHE"):
        return Path(chosen).expanduser()
    match sys.platform:
        case "win32":
            home = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
            return home / "mtl-edge" / "Cache"
        case "darwin":
            return Path.home() / "Library" / "Caches" / "mtl-edge"
        case _:
            chosen = os.environ.get("XDG_CACHE_HOME", "")
            return (Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".cache") / "mtl-edge"


def data_folder(data_set: DataSet) -> Path:
    """The cache's folder for the files of a data set; it need not exist yet."""
    return cache_folder() / data_set.name


def find_files(data_set: DataSet) -> Path | None:
    """The folder in which every file of the data set stands whole: the system's own or the cache's, or None."""
    places = [Path(data_set.provided)] if data_set.provided else []
    for folder in (*places, data_folder(data_set)):
        if all(is_whole(folder / file.name, file) for file in data_set.files):
            return folder
    return None


def is_whole(path: Path, file: DataFile) -> bool:
    """Whether a path holds the very content of a data set's file."""
    try:
        return path.stat().st_size == file.size and sha256_of_file(path) == file.sha256
    except OSError:
        return False


def find_table(reference: str) -> Path:
    """The path of a data set's table in the cache.

    Args:
        reference: the data set, and which of its tables where there are several: ``adult``, ``river-flow/train``.

    Raises:
        DataError: there is no such data set or table, it has not been fetched, or its file is damaged.
    """
    name, _, file = reference.partition("/")
    data_set = find_data_set(name)
    tables = {Path(table.name).stem: table for table in data_set.files}
    if not file and len(tables) == 1:
        file = next(iter(tables))
    if file not in tables:
        choices = ", ".join(f"zoo:{name}/{table}" for table in tables)
        raise DataError(f"zoo: {name} has the tables {choices}, found {file or 'none'!r}")
    path = data_folder(data_set) / tables[file].name
    if not path.is_file():
        raise DataError(f"zoo:{name}: the table is not on this machine yet: mtl-edge zoo fetch {name}")
    if not is_whole(path, tables[file]):
        raise DataError(f"{path}: is damaged; to replace it: mtl-edge zoo fetch {name}")
    return path
