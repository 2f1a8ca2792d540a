"""Four named sets of samples, as plain numpy arrays."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtl_edge.errors import DataError
from mtl_edge.storage import write_atomically

SPLIT_NAMES = ("train", "val", "calib", "test")
"""What the splits are for: fitting, watching the fit, calibrating int8 ranges, and the figures that are reported."""


@dataclass(frozen=True)
class Samples:
    """Arrays of one length: the network's input ``(N, …)`` and each target ``(N,)``, by name."""

    arrays: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def take(self, indices: np.ndarray) -> "Samples":
        """The samples at these positions, copied."""
        return Samples({name: array[indices] for name, array in self.arrays.items()})

    def save(self, path: Path) -> None:
        """Write an ``.npz`` with the arrays under their own names, the same bytes every time."""
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:  # np.savez takes some names for options
            for name, array in self.arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
        write_atomically(path, stream.getvalue())


@dataclass(frozen=True)
class Splits:
    """Train, validation, calibration (a part of train) and test."""

    train: Samples
    val: Samples
    calib: Samples
    test: Samples

    def save(self, folder: Path) -> None:
        """Write one ``.npz`` per split into a folder."""
        for name in SPLIT_NAMES:
            samples: Samples = getattr(self, name)
            samples.save(folder / f"{name}.npz")


def load_splits_from(folder: Path) -> Splits:
    """Read what :meth:`Splits.save` wrote."""
    train, val, calib, test = (load_samples(folder / f"{name}.npz") for name in SPLIT_NAMES)
    return Splits(train, val, calib, test)


def load_samples(path: Path) -> Samples:
    """Read the arrays of an ``.npz``; pickled objects are refused.

    Raises:
        DataError: the file cannot be read, is not an npz, holds no array, objects, or arrays of unequal length.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # zipfile and numpy raise many kinds for a damaged archive
        raise DataError(f"{path}: is not a readable .npz of plain arrays: {error}") from error
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if not lengths:
        raise DataError(f"{path}: must hold at least one array, found none")
    if len(set(lengths.values())) > 1:
        raise DataError(f"{path}: all arrays must have one length, found {lengths}")
    return Samples(arrays)
