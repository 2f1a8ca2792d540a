"""Sources that draw their samples anew from a seed, out of what comes with the package or from Fashion-MNIST.

To add one, write its function, name it in :data:`GENERATED_SOURCES` and add a branch to :func:`_compose`, or to
:func:`generate` where it is not made of pictures.
"""

from pathlib import Path

import numpy as np

from mtl_edge.data.composites import Items
from mtl_edge.data.cut import cut_rows
from mtl_edge.data.fashion import find_fashion, load_fashion
from mtl_edge.data.fashion_pairs import make_fashion_pairs
from mtl_edge.data.hello_mlp import make_hello
from mtl_edge.data.mnist_pairs import load_digits, make_pairs
from mtl_edge.data.rows import ArrayRows
from mtl_edge.data.scenes import make_scenes
from mtl_edge.data.splits import Samples
from mtl_edge.recipe import DataSpec

FASHION_SOURCES = ("fashion-pairs", "fashion-pairs-shifted", "fashion-scenes")
"""Those that need Fashion-MNIST, which may stand in a folder that the recipe names: ``fashion-pairs:FOLDER``."""
GENERATED_SOURCES = ("mnist-pairs", *FASHION_SOURCES, "hello-mlp")


def generate(
    source: str, spec: DataSpec, rng: np.random.Generator, folder: Path | None = None
) -> tuple[Samples, Samples, Samples]:
    """Samples for train, validation and test, as many as ``spec.samples`` says; no picture is in two of them.

    Args:
        source: the source's name.
        spec: how many samples, and what the input is called.
        rng: the source of chance.
        folder: where Fashion-MNIST stands, if the recipe says so.

    Raises:
        RecipeError: the input's name is that of a target.
        DataError: Fashion-MNIST is not there, or damaged.
    """
    if source == "hello-mlp":
        return make_hello(spec.samples, rng, spec.input)
    parts = _digits(spec, rng) if source == "mnist-pairs" else load_fashion(find_fashion(folder), rng)
    train, val, test = (
        _compose(source, items, count, rng, spec.input) for items, count in zip(parts, spec.samples, strict=True)
    )
    return train, val, test


def generated_fingerprint(source: str, folder: Path | None = None) -> str | None:
    """What tells whether the pictures have changed; None where everything comes with the package.

    Raises:
        DataError: Fashion-MNIST is not there, or cannot be read.
    """
    return find_fashion(folder).fingerprint if source in FASHION_SOURCES else None


def _compose(source: str, items: Items, count: int, rng: np.random.Generator, name: str) -> Samples:
    match source:
        case "mnist-pairs":
            return make_pairs(items, count, rng, name)
        case "fashion-pairs":
            return make_fashion_pairs(items, count, rng, name, "fixed")
        case "fashion-pairs-shifted":
            return make_fashion_pairs(items, count, rng, name, "shifted")
        case "fashion-scenes":
            return make_scenes(items, count, rng, name)
        case _:
            raise AssertionError(source)


def _digits(spec: DataSpec, rng: np.random.Generator) -> list[Items]:
    """The digits in the shares of ``spec.split``."""
    digits = load_digits()
    rows = ArrayRows("mnist-pairs", Samples({"labels": digits.labels}))
    return [digits.take(part) for part in cut_rows(rows, spec, rng)]
