"""From a recipe's ``[data]`` to checked splits."""

from pathlib import Path

import numpy as np

from mtl_edge.data.check import check_samples
from mtl_edge.data.mnist_pairs import load_digits, make_pairs
from mtl_edge.data.splits import Samples, Splits, load_samples
from mtl_edge.errors import DataError, RecipeError
from mtl_edge.recipe import DataSpec, Recipe
from mtl_edge.storage import sha256_of_file


def load_splits(recipe: Recipe) -> Splits:
    """Read the source, split it by the recipe's seed, and check every sample.

    Raises:
        RecipeError: no such source.
        DataError: the data cannot be read, or contradicts the recipe.
    """
    rng = np.random.default_rng(recipe.seed)
    spec = recipe.data
    path = _file(recipe)
    if path is None:
        train, val, test = _pairs(spec, rng)
    else:
        everything = load_samples(path)
        train, val, test = (everything.take(part) for part in _split(len(everything), spec, rng))
    for name, samples in (("train", train), ("val", val), ("test", test)):
        check_samples(samples, recipe, place=f"{spec.source} ({name} split)")
    train, val, test = (_in_plain_dtypes(samples, recipe) for samples in (train, val, test))
    calib = train.take(rng.permutation(len(train))[: spec.calibration])
    return Splits(train=train, val=val, calib=calib, test=test)


def source_fingerprint(recipe: Recipe) -> str | None:
    """What tells whether a source outside the package has changed: the hash of its file, or None for a built-in one.

    Raises:
        RecipeError: no such source.
        DataError: the file cannot be read.
    """
    path = _file(recipe)
    if path is None:
        return None
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _file(recipe: Recipe) -> Path | None:
    """The file that the source names, or None for the digits that come with the package."""
    match recipe.data.source.partition(":"):
        case "mnist-pairs", "", "":
            return None
        case "npz", ":", file if file:
            return recipe.folder / file
        case _:
            raise RecipeError(f"data.source: must be 'mnist-pairs' or 'npz:FILE', found {recipe.data.source!r}")


def _in_plain_dtypes(samples: Samples, recipe: Recipe) -> Samples:
    """Only the arrays that the recipe names, in this machine's byte order; labels as int64 or float32."""
    raw = samples[recipe.data.input]
    inputs = raw.astype(np.uint8 if raw.dtype.kind == "b" else raw.dtype.newbyteorder("="), copy=False)
    targets = {name: samples[name] for name in sorted({task.target for task in recipe.tasks})}
    return Samples(
        {recipe.data.input: inputs}
        | {name: array.astype(np.float32 if array.dtype.kind == "f" else np.int64) for name, array in targets.items()}
    )


def _pairs(spec: DataSpec, rng: np.random.Generator) -> tuple[Samples, ...]:
    images, labels = load_digits()
    parts = _split(len(images), spec, rng)
    return tuple(
        make_pairs(images[part], labels[part], count, rng, spec.input)
        for part, count in zip(parts, spec.samples, strict=True)
    )


def _split(count: int, spec: DataSpec, rng: np.random.Generator) -> list[np.ndarray]:
    """Disjoint random positions for train, validation and test, in the shares of the recipe."""
    ends = np.cumsum(spec.split) / sum(spec.split) * count
    parts = np.split(rng.permutation(count), ends[:-1].round().astype(int))
    for name, part in zip(("train", "val", "test"), parts, strict=True):
        if not len(part):
            raise DataError(f"{spec.source}: the {name} split is empty: {count} samples in the shares {spec.split}")
    return parts
