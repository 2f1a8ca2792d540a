"""From what was observed of a tensor to the range that 8 bits cover.

A wide range keeps outliers and rounds everything else coarsely; a narrow one does the opposite. The methods differ in
where they strike the balance.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal, assert_never

import numpy as np

from mtl_edge.quantize.observe import Observer

Method = Literal["minmax", "moving-average", "percentile", "entropy", "mse", "auto"]

_Cost = Callable[[Observer, float, float], float]

LEVELS = 256
PERCENTILE = 99.999
_COUNTS_PER_BIN = 100
_TRIED: tuple[Method, ...] = ("minmax", "percentile", "entropy", "mse")
"""What ``auto`` chooses from, tensor by tensor; of equals the first."""
_SHRINKS = np.linspace(1.0, 0.3, 36)
"""The parts of the full range that ``mse`` and ``entropy`` try."""


def find_range(observer: Observer, method: Method) -> tuple[float, float]:
    """The lowest and highest value to represent; zero is always within.

    ``auto`` takes that of ``minmax``, ``percentile``, ``entropy`` and ``mse`` whose squared error is least.
    """
    full = min(observer.low, 0.0), max(observer.high, 0.0)
    match method:
        case "minmax":
            return full
        case "moving-average":
            return _clip((observer.average_low, observer.average_high), full)
        case "percentile":
            return _clip(_percentile(observer), full)
        case "entropy":
            return _best(observer, full, _divergence)
        case "mse":
            return _best(observer, full, squared_error)
        case "auto":
            found = [find_range(observer, each) for each in _TRIED]
            return min(found, key=lambda ends: squared_error(observer, *ends) if ends[0] < ends[1] else math.inf)
        case _:
            assert_never(method)


def find_ranges(observed: Mapping[str, Observer], method: Method) -> dict[str, tuple[float, float]]:
    """As :func:`find_range`, of every tensor."""
    return {name: find_range(observer, method) for name, observer in observed.items()}


def squared_error(observer: Observer, low: float, high: float) -> float:
    """Mean squared difference between a tensor's values and their nearest 8-bit numbers, from its histogram."""
    centers, counts = observer.centers, observer.counts
    scale = (high - low) / (LEVELS - 1)
    zero = np.round(-low / scale)
    found = (np.clip(np.round(centers / scale) + zero, 0, LEVELS - 1) - zero) * scale
    return float(((found - centers) ** 2 * counts).sum() / counts.sum())


def _divergence(observer: Observer, low: float, high: float) -> float:
    """Kullback-Leibler divergence of the quantized histogram from the true one.

    Each level's count is spread evenly over those of its bins that hold anything (Migacz, "8-bit Inference with
    TensorRT", GTC 2017).
    """
    centers, counts = _coarse(observer.centers, observer.counts.astype(np.float64))
    scale = (high - low) / (LEVELS - 1)
    levels = np.clip(np.round((centers - low) / scale), 0, LEVELS - 1).astype(np.int64)
    clipped = np.where((centers < low) | (centers > high), 0.0, counts)
    occupied = (counts > 0) & (clipped > 0)
    mass = np.bincount(levels, clipped, minlength=LEVELS)
    share = np.bincount(levels[occupied], minlength=LEVELS)
    spread = np.where(occupied, mass[levels] / np.maximum(share[levels], 1), 0.0)
    reference = clipped.copy()
    inside = np.flatnonzero((centers >= low) & (centers <= high))
    if not len(inside):
        return math.inf
    reference[inside[0]] += counts[centers < low].sum()
    reference[inside[-1]] += counts[centers > high].sum()
    p, q = reference / reference.sum(), spread / max(spread.sum(), 1e-30)
    used = p > 0
    return float((p[used] * np.log(p[used] / np.maximum(q[used], 1e-12))).sum())


def _coarse(centers: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wider bins where there are too few values to tell a distribution from chance, down to two for each level."""
    while len(counts) > 2 * LEVELS and counts.sum() < _COUNTS_PER_BIN * len(counts):
        if len(counts) % 2:
            counts = np.append(counts, 0.0)
            centers = np.append(centers, centers[-1] + (centers[-1] - centers[-2]))
        counts, centers = counts.reshape(-1, 2).sum(axis=1), centers.reshape(-1, 2).mean(axis=1)
    return centers, counts


def _best(observer: Observer, full: tuple[float, float], cost: _Cost) -> tuple[float, float]:
    """The part of the full range that costs least: both ends are drawn in together, then each on its own."""
    low, high = full
    if low == high:
        return full
    both = [(low * shrink, high * shrink) for shrink in _SHRINKS]
    low, high = min(both, key=lambda ends: cost(observer, *ends))
    if low < 0 < high:
        low = min((full[0] * _SHRINKS).tolist(), key=lambda end: cost(observer, end, high))
        high = min((full[1] * _SHRINKS).tolist(), key=lambda end: cost(observer, low, end))
    return float(low), float(high)


def _percentile(observer: Observer) -> tuple[float, float]:
    """The values that all but a very few lie between, the same share of them on either side."""
    sums = np.cumsum(observer.counts)
    beyond = (1 - PERCENTILE / 100) * sums[-1]
    first = int(np.searchsorted(sums, beyond, side="right"))
    last = int(np.searchsorted(sums, sums[-1] - beyond, side="left"))
    edges = observer.first + np.array([first, last + 1])
    return float(edges[0] * observer.width), float(edges[1] * observer.width)


def _clip(found: tuple[float, float], full: tuple[float, float]) -> tuple[float, float]:
    return max(min(found[0], 0.0), full[0]), min(max(found[1], 0.0), full[1])
