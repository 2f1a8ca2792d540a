"""Inputs to trace a network with, as the command line names them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtl_edge.data.splits import load_samples
from mtl_edge.errors import DataError

_SHAPE = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<sizes>\d+(?:x\d+)*)(?::(?P<dtype>\w+))?")
_DTYPES = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")


@dataclass(frozen=True)
class Example:
    """One input: its name, if one was given, and values ``(N, …)``."""

    name: str | None
    array: np.ndarray


def read_examples(texts: Sequence[str]) -> tuple[Example, ...]:
    """Read ``image=1x3x224x224:float32``, a ``.npy`` file, or an ``.npz`` file with one array for each input.

    Values of a shape are random, always the same: standard normal, or 0 and 1, which every table of embeddings has.

    Raises:
        DataError: it is none of these, or a file cannot be read.
    """
    rng = np.random.default_rng(0)
    found: list[Example] = []
    for text in texts:
        if Path(text).suffix in (".npz", ".npy"):
            found += _from_file(Path(text))
        elif match := _SHAPE.fullmatch(text):
            found.append(Example(match["name"], _random(rng, text, match["sizes"], match["dtype"] or "float32")))
        else:
            raise DataError(
                f"--example: must be a shape such as image=1x3x224x224:float32, an .npz or an .npy, found {text!r}"
            )
    names = [example.name for example in found if example.name is not None]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"--example: each input must be given once, found {twice[0]!r} twice")
    return tuple(found)


def _random(rng: np.random.Generator, text: str, sizes: str, dtype: str) -> np.ndarray:
    shape = tuple(map(int, sizes.split("x")))
    if dtype not in _DTYPES:
        raise DataError(f"--example: {text!r}: dtype must be one of {', '.join(_DTYPES)}, found {dtype!r}")
    if not all(shape):
        raise DataError(f"--example: {text!r}: sizes must be above zero, found {sizes}")
    values = rng.standard_normal(shape) if dtype.startswith("float") else rng.integers(0, 2, shape)
    return values.astype(dtype)


def _from_file(path: Path) -> list[Example]:
    if path.suffix == ".npz":
        return [Example(name, np.ascontiguousarray(array)) for name, array in load_samples(path).arrays.items()]
    try:
        return [Example(None, np.load(path, allow_pickle=False))]
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"--example: {path}: is not a readable .npy: {error}") from error
