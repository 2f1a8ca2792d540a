"""Sources that draw their samples anew from a seed, out of what comes with the package or from Fashion-MNIST."""

from pathlib import Path
from typing import Literal, assert_never, get_args

import numpy as np

from mtl_edge.data.fashion import find_fashion, load_fashion
from mtl_edge.data.fashion_pairs import make_fashion_pairs
from mtl_edge.data.hello_mlp import make_hello
from mtl_edge.data.scenes import make_scenes
from mtl_edge.data.splits import Samples

DrawnSource = Literal["fashion-pairs", "fashion-pairs-shifted", "fashion-scenes", "hello-mlp"]
DRAWN_SOURCES: tuple[str, ...] = get_args(DrawnSource)


def draw_splits(
    source: DrawnSource, counts: tuple[int, int, int], rng: np.random.Generator, name: str, folder: Path | None = None
) -> tuple[Samples, Samples, Samples]:
    """Samples for train, validation and test; no picture is in two of them.

    Args:
        source: the source's name.
        counts: how many samples for each.
        rng: the source of chance.
        name: what the recipe calls the input.
        folder: where Fashion-MNIST stands, if the recipe says so (``fashion-pairs:FOLDER``).

    Raises:
        RecipeError: the name is that of a target.
        DataError: Fashion-MNIST is not there, or damaged.
    """
    if source == "hello-mlp":
        return make_hello(counts, rng, name)
    parts = load_fashion(find_fashion(folder), rng)
    drawn = []
    for items, count in zip(parts, counts, strict=True):
        match source:
            case "fashion-pairs":
                drawn.append(make_fashion_pairs(items, count, rng, name, "fixed"))
            case "fashion-pairs-shifted":
                drawn.append(make_fashion_pairs(items, count, rng, name, "shifted"))
            case "fashion-scenes":
                drawn.append(make_scenes(items, count, rng, name))
            case _:
                assert_never(source)
    train, val, test = drawn
    return train, val, test


def drawn_fingerprint(source: DrawnSource, folder: Path | None = None) -> str | None:
    """What tells whether the pictures have changed; None where everything comes with the package.

    Raises:
        DataError: Fashion-MNIST is not there, or cannot be read.
    """
    return None if source == "hello-mlp" else find_fashion(folder).fingerprint
