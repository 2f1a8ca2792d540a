"""A small data set in the layout of Fashion-MNIST."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mtl_edge.data.composites import Items


def _write(path: Path, array: np.ndarray) -> None:
    """Write uint8 values as idx, gzipped if the name ends in ``.gz``."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def _clothes(count: int, seed: int) -> Items:
    """Bright random pictures, all different, with the labels 0 to 9 in turn."""
    images = np.random.default_rng(seed).integers(1, 256, (count, 28, 28), dtype=np.uint8)
    return Items(images, np.arange(count) % 10)


@pytest.fixture
def fashion_folder(tmp_path: Path) -> Path:
    """120 training and 40 test pictures in four files."""
    folder = tmp_path / "fashion"
    folder.mkdir()
    for part, count, seed in (("train", 120, 1), ("t10k", 40, 2)):
        items = _clothes(count, seed)
        _write(folder / f"{part}-images-idx3-ubyte.gz", items.images)
        _write(folder / f"{part}-labels-idx1-ubyte.gz", items.labels)
    return folder


@pytest.fixture
def write_idx() -> Callable[[Path, np.ndarray], None]:
    """Write uint8 values as idx, gzipped if the name ends in ``.gz``."""
    return _write
