"""Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747): pictures of clothes to lay on canvases."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtl_edge.data.composites import ITEM, Items
from mtl_edge.data.idx import read_idx
from mtl_edge.errors import DataError
from mtl_edge.storage import sha256_of, sha256_of_file
from mtl_edge.zoo.cache import data_folder
from mtl_edge.zoo.catalogue import find_data_set

CLASSES = 10
VALIDATION = 1 / 12
"""Share of the training pictures that is kept for validation: 5,000 of 60,000."""

_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class FashionFiles:
    """The four idx files, plain or gzipped."""

    train_images: Path
    train_labels: Path
    test_images: Path
    test_labels: Path

    @property
    def fingerprint(self) -> str:
        """A hash of what is in them.

        Raises:
            DataError: one cannot be read.
        """
        paths = (self.train_images, self.train_labels, self.test_images, self.test_labels)
        try:
            return sha256_of(*(sha256_of_file(path).encode() for path in paths))
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


def find_fashion(folder: Path | None = None) -> FashionFiles:
    """The data set's files: in the folder that is given, else where Debian puts them, else in the cache.

    Raises:
        DataError: they are nowhere; the message names the ways to get them.
    """
    known = find_data_set("fashion-mnist")
    places = [folder] if folder is not None else [Path(known.provided or ""), data_folder(known)]
    missing = ""
    for place in places:
        paths = [_plain_or_gzipped(place, name) for name in _FILES]
        missing = next((name for name, path in zip(_FILES, paths, strict=True) if path is None), "")
        if not missing:
            return FashionFiles(*(path for path in paths if path is not None))
    if folder is not None:
        raise DataError(f"{folder}: must hold the four idx files of Fashion-MNIST, found no {missing}[.gz]")
    raise DataError(
        f"Fashion-MNIST is not on this machine. Do one of three: mtl-edge zoo fetch fashion-mnist; or "
        f"apt-get install {known.package} (Debian, Ubuntu); or name a folder with its four idx files, "
        f'source = "…:FOLDER"'
    )


def load_fashion(files: FashionFiles, rng: np.random.Generator) -> tuple[Items, Items, Items]:
    """Pictures for training, validation and test; the test's are those of the data set's own test files.

    Raises:
        DataError: a file cannot be read, is damaged, or contradicts another.
    """
    given = _items(files.train_images, files.train_labels)
    order = rng.permutation(len(given))
    kept = round(len(given) * VALIDATION)
    return given.take(order[kept:]), given.take(order[:kept]), _items(files.test_images, files.test_labels)


def _items(images_file: Path, labels_file: Path) -> Items:
    images, labels = read_idx(images_file, dims=3), read_idx(labels_file, dims=1)
    if images.shape[1:] != (ITEM, ITEM) or images.dtype != np.uint8:
        found = f"{images.dtype} of {images.shape[1:]}"
        raise DataError(f"{images_file}: pictures must be uint8 of ({ITEM}, {ITEM}), found {found}")
    if len(images) != len(labels):
        raise DataError(f"{labels_file}: must hold a label for each of {len(images)} pictures, found {len(labels)}")
    if len(images) < 1 / VALIDATION:
        raise DataError(f"{images_file}: must hold {round(1 / VALIDATION)} pictures at least, found {len(images)}")
    if labels.min() < 0 or labels.max() >= CLASSES:
        raise DataError(f"{labels_file}: labels must be 0 to {CLASSES - 1}, found {labels.min()} to {labels.max()}")
    return Items(images, labels.astype(np.int64))


def _plain_or_gzipped(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)
