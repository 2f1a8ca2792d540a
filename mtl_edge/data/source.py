"""From a recipe's ``[data]`` to checked splits."""

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
    match spec.source.partition(":"):
        case "mnist-pairs", "", "":
            train, val, test = _pairs(spec, rng)
        case "npz", ":", file if file:
            everything = load_samples(recipe.folder / file)
            train, val, test = (everything.take(part) for part in _split(len(everything), spec, rng))
        case _:
            raise RecipeError(f"data.source: must be 'mnist-pairs' or 'npz:FILE', found {spec.source!r}")
    for name, samples in (("train", train), ("val", val), ("test", test)):
        check_samples(samples, recipe, place=f"{spec.source} ({name} split)")
    calib = train.take(rng.permutation(len(train))[: spec.calibration])
    return Splits(train=train, val=val, calib=calib, test=test)


def source_fingerprint(recipe: Recipe) -> str | None:
    """What tells whether a source outside the recipe has changed: a hash of its file, or None for a built-in one."""
    kind, _, file = recipe.data.source.partition(":")
    if kind != "npz":
        return None
    path = recipe.folder / file
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


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
