"""Four named sets of samples, as plain numpy arrays: in memory, or mapped from the files that hold them."""

from collections.abc import Mapping
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

import numpy as np

from mtl_edge.data.limits import check_archive
from mtl_edge.errors import DataError

SPLIT_NAMES = ("train", "val", "calib", "test")
"""What the splits are for: fitting, watching the fit, calibrating int8 ranges, and the figures that are reported."""

SOURCE = "mtl_edge.source"
"""Name of the array that tells which of several sources each sample is from: positions in ``[data.sources]``, int16."""


@dataclass(frozen=True)
class Samples:
    """Arrays of one length: the network's input ``(N, …)`` and each target ``(N, …)``, by name."""

    arrays: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def take(self, indices: np.ndarray) -> "Samples":
        """The samples at these positions, copied; of a mapped file, only they are read."""
        return Samples({name: rows_of(array, indices) for name, array in self.arrays.items()})

    def save(self, folder: Path) -> None:
        """Write each array as an ``.npy`` of its name into a folder, the same bytes every time."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in self.arrays.items():
            with (folder / file_name(name)).open("wb") as stream:
                np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)


@dataclass(frozen=True)
class Splits:
    """Train, validation, calibration (a part of train) and test."""

    train: Samples
    val: Samples
    calib: Samples
    test: Samples


def file_name(name: str) -> str:
    """The name of an array's file: any name that an array can have is one that a file can have."""
    return f"{quote(name, safe=' ')}.npy"


def load_splits_from(folder: Path) -> Splits:
    """Map the splits that :func:`mtl_edge.data.source.prepare` wrote; rows are read when they are asked for.

    Raises:
        DataError: a split is missing or damaged.
    """
    train, val, calib, test = (load_samples(folder / name) for name in SPLIT_NAMES)
    return Splits(train, val, calib, test)


def load_samples(path: Path, place: str = "") -> Samples:
    """Map the ``.npy`` files of a folder, or read the arrays of an ``.npz``; pickled objects are refused.

    Args:
        path: the folder or file.
        place: what errors call it, if not by its path.

    Raises:
        DataError: what is there cannot be read, holds no array, objects, or arrays of unequal length.
    """
    arrays = _mapped(path, place) if path.is_dir() else _read(path)
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if not lengths:
        raise DataError(f"{place or path}: must hold at least one array, found none")
    if len(set(lengths.values())) > 1:
        raise DataError(f"{place or path}: all arrays must have one length, found {lengths}")
    return Samples(arrays)


def rows_of(array: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Rows of an array, copied. Of a file that :func:`load_samples` mapped, none of its pages stays resident.

    Pages of a mapping count as the process's memory once they are touched, with their neighbours, so that few rows of
    everywhere are soon the whole file. These are touched through a mapping of their own, which ends here.
    """
    file = array.base
    if isinstance(file, np.memmap) and file.filename is not None and isinstance(file.base, mmap):  # all, not a part
        order: Literal["C", "F"] = "C" if file.flags.c_contiguous else "F"
        array = np.memmap(file.filename, file.dtype, "r", file.offset, file.shape, order).view(np.ndarray)
    rows: np.ndarray = array[positions]
    return rows


def _mapped(folder: Path, place: str) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("*.npy")):
        try:
            # As plain arrays: what is computed from a memmap would be one too, and is not.
            arrays[unquote(path.stem)] = np.lib.format.open_memmap(path, mode="r").view(np.ndarray)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
        except Exception as error:  # numpy raises many kinds for a damaged header
            where = f"{place}: {unquote(path.stem)!r}" if place else path
            raise DataError(f"{where}: is not a readable .npy of a plain array: {_first_line(error)}") from error
    return arrays


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream:
            check_archive(stream, str(path))
            with np.load(stream, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # zipfile and numpy raise many kinds for a damaged archive
        raise DataError(f"{path}: is not a readable .npz of plain arrays: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
