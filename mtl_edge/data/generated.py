"""Sources that make their samples of what comes with the package.

To add one, write its function and add a branch to :func:`generate`.
"""

from collections.abc import Callable

import numpy as np

from mtl_edge.data.cut import cut_rows
from mtl_edge.data.mnist_pairs import load_digits, make_pairs
from mtl_edge.data.rows import ArrayRows
from mtl_edge.data.splits import Samples
from mtl_edge.recipe import DataSpec

Compose = Callable[[np.ndarray, np.ndarray, int, np.random.Generator, str], Samples]
"""``(images, labels, count, rng, name)`` -> composites, with the image under this name."""


def generate(source: str, spec: DataSpec, rng: np.random.Generator) -> tuple[Samples, ...]:
    """Train, validation and test of one of :data:`mtl_edge.data.fingerprint.BUILT_IN`."""
    match source:
        case "mnist-pairs":
            return _composites(*load_digits(), make_pairs, source, spec, rng)
        case _:
            raise AssertionError(source)


def _composites(
    images: np.ndarray, labels: np.ndarray, compose: Compose, source: str, spec: DataSpec, rng: np.random.Generator
) -> tuple[Samples, ...]:
    """Images are split before they are composed, so that none is in two splits."""
    parts = cut_rows(ArrayRows(source, Samples({"labels": labels})), spec, rng)
    return tuple(
        compose(images[part], labels[part], count, rng, spec.input)
        for part, count in zip(parts, spec.samples, strict=True)
    )
