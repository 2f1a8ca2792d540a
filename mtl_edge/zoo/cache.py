"""Where fetched data sets stand on this machine: in the cache's folder, or in the system's own."""

from pathlib import Path

from mtl_edge.errors import DataError
from mtl_edge.storage import cache_folder, sha256_of_file
from mtl_edge.zoo.catalogue import DataFile, DataSet, find_data_set


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
