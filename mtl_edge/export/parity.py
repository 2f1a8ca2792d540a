"""Does the exported graph compute what the network computes?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mtl_edge.errors import ParityError

TOLERANCE = 1e-4
"""Largest difference allowed between fp32 outputs, relative to the output's standard deviation over the samples."""


@dataclass(frozen=True)
class Parity:
    """The worst difference between two sets of outputs."""

    output: str
    index: tuple[int, ...]
    difference: float
    """Relative to the standard deviation of that output."""


def compare(reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray]) -> Parity:
    """Find the worst difference.

    Args:
        reference: output name -> expected values ``(N, width)``.
        candidate: output name -> found values, of the same shapes.

    Raises:
        ParityError: an output is missing, or has another shape.
    """
    worst = Parity(output="", index=(), difference=-1.0)
    for name, expected in reference.items():
        found = candidate.get(name)
        if found is None or found.shape != expected.shape:
            shape = "none" if found is None else found.shape
            raise ParityError(f"output {name!r}: must have the shape {expected.shape}, found {shape}")
        difference = np.abs(found.astype(np.float64) - expected) / (expected.std(dtype=np.float64) or 1.0)
        difference = np.where(np.isfinite(difference), difference, np.inf)
        position = np.unravel_index(difference.argmax(), difference.shape)
        if difference[position] > worst.difference:
            worst = Parity(name, tuple(int(axis) for axis in position), float(difference[position]))
    return worst


def check_parity(
    reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], *, tolerance: float = TOLERANCE
) -> Parity:
    """As :func:`compare`, but a difference above the tolerance is an error.

    Raises:
        ParityError: the message names the worst output and index.
    """
    worst = compare(reference, candidate)
    if worst.difference > tolerance:
        raise ParityError(
            f"export: output {worst.output!r} at {worst.index} differs by {worst.difference:.2e} of its standard "
            f"deviation between torch and ONNX Runtime, at most {tolerance:.0e} is allowed"
        )
    return worst
