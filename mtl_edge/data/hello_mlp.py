"""Three numbers that depend on ten: the smallest thing that the whole line can be tried on.

The numbers are linear in the inputs, plus noise of a tenth of their spread: what can be learned is all of it but 1 %.
"""

import numpy as np

from mtl_edge.data.composites import check_input_name
from mtl_edge.data.splits import Samples

INPUTS = 10
TARGETS = ("first", "second", "third")
NOISE = 0.1


def make_hello(counts: tuple[int, int, int], rng: np.random.Generator, name: str) -> tuple[Samples, Samples, Samples]:
    """Samples for train, validation and test, all of the same linear map.

    Args:
        counts: how many for each.
        rng: the source of chance.
        name: name of the input in the result, ``(count, 10)`` float32; the targets are ``first``, ``second`` and
            ``third``, each with the variance ``1 + NOISE²``.

    Raises:
        RecipeError: the name is that of a target.
    """
    check_input_name(name, TARGETS, "hello-mlp")
    slopes = rng.standard_normal((INPUTS, len(TARGETS)))
    slopes /= np.linalg.norm(slopes, axis=0)
    train, val, test = (_samples(count, slopes, rng, name) for count in counts)
    return train, val, test


def _samples(count: int, slopes: np.ndarray, rng: np.random.Generator, name: str) -> Samples:
    inputs = rng.standard_normal((count, INPUTS))
    outputs = inputs @ slopes + NOISE * rng.standard_normal((count, len(TARGETS)))
    targets = {target: column.astype(np.float32) for target, column in zip(TARGETS, outputs.T, strict=True)}
    return Samples({name: inputs.astype(np.float32), **targets})
