"""What x86 without VNNI computes instead of an int8 product: sums of two products, cut off at 16 bits.

ONNX Runtime's kernels there multiply uint8 activations by int8 weights with ``vpmaddubsw``. It adds the products of two
neighbours along the reduction axis in int16 and saturates; everything after it is exact. The neighbours are positions
``2p`` and ``2p + 1`` of the axis, which for a convolution runs over kernel positions first and channels within each.
Activations enter as they are stored: zero points are taken off afterwards. A channel of a depthwise convolution is
multiplied by kernels of another kind, which do not saturate; so are uint8 weights.
"""

from dataclasses import dataclass

import numpy as np

LOWEST, HIGHEST = -(2**15), 2**15 - 1
"""Where sums of two products are cut off."""

_LARGEST_ACTIVATION = 255


@dataclass(frozen=True)
class Product:
    """A matrix product as VNNI computes it, and as a processor without it does.

    Attributes:
        exact: ``(M, N)`` int32.
        saturated: ``(M, N)`` int32.
        saturating: how many sums of two products were cut off.
        pairs: how many there were.
        peak: the largest sum of two products, by magnitude, among those that some activation could saturate.
    """

    exact: np.ndarray
    saturated: np.ndarray
    saturating: int
    pairs: int
    peak: int


def pair_bounds(weights: np.ndarray) -> np.ndarray:
    """How large sums of two products can become, whatever the activations.

    Args:
        weights: ``(K, N)`` int8 in the order of the reduction.

    Returns:
        The largest magnitude for each pair and column, ``(K / 2, N)`` int32.
    """
    pairs = _in_pairs(weights, 0).astype(np.int32)
    above = np.maximum(pairs, 0).sum(1)
    below = np.maximum(-pairs, 0).sum(1)
    bounds: np.ndarray = _LARGEST_ACTIVATION * np.maximum(above, below)
    return bounds


def saturating_product(activations: np.ndarray, weights: np.ndarray) -> Product:
    """Multiply matrices with the kernel that saturates, and exactly.

    Only pairs of weights that can saturate are looked at one by one: what is cut off there is taken off the exact sums.

    Args:
        activations: ``(M, K)`` uint8 as stored, zero point included.
        weights: ``(K, N)`` int8.
    """
    bounds = pair_bounds(weights)
    # float32 adds whole numbers exactly up to 2^24, float64 up to 2^53.
    largest = _LARGEST_ACTIVATION * np.abs(weights.astype(np.int64)).sum(0).max(initial=0)
    exact_type = np.float32 if largest < 2**24 else np.float64
    exact = (activations.astype(exact_type) @ weights.astype(exact_type)).astype(np.int32)
    saturated = exact.copy()
    saturating = peak = 0
    left, right = (part.T.astype(np.int32) for part in np.moveaxis(_in_pairs(activations, 1), 2, 0))
    pairs = _in_pairs(weights, 0).astype(np.int32)
    for pair in np.flatnonzero(bounds.max(1, initial=0) > HIGHEST):
        columns = np.flatnonzero(bounds[pair] > HIGHEST)
        sums = np.outer(left[pair], pairs[pair, 0, columns]) + np.outer(right[pair], pairs[pair, 1, columns])
        beyond = sums - np.clip(sums, LOWEST, HIGHEST)
        saturated[:, columns] -= beyond
        saturating += int(np.count_nonzero(beyond))
        peak = max(peak, int(np.abs(sums).max(initial=0)))
    return Product(exact, saturated, saturating, len(activations) * bounds.size, peak)


def _in_pairs(array: np.ndarray, axis: int) -> np.ndarray:
    """Split the axis of the reduction into neighbours, ``(…, K / 2, 2, …)``; an odd one's neighbour is zero."""
    padding = [(0, 0)] * array.ndim
    padding[axis] = (0, array.shape[axis] % 2)
    padded = np.pad(array, padding)
    return padded.reshape(*array.shape[:axis], -1, 2, *array.shape[axis + 1 :])
