"""What samples can tell: percentiles that they support, and how far a median would move had it been measured again.

Samples of one round are alike because the box was in one state; rounds are not. So whole rounds are drawn again
(Efron & Tibshirani 1993, chapter 8), and an interval is as wide as rounds differ, however many samples they have.
"""

import math
from collections.abc import Sequence

import numpy as np

from mtl_edge.errors import BenchError

BEYOND = 10
"""A percentile counts as supported from this many samples above it on: p90 from 100 samples, p99 from 1000."""

_DRAWS = 2000
_TAILS = (0.5, 99.5)
"""99 %: a 95 % interval of a median of ten, by the percentile bootstrap, misses it in one case of ten."""

_GRID = 2000
"""Steps that a pooled median is looked for in: the interval's ends are exact to this part of the samples."""


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest value that at least ``share`` per cent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[_rank(len(ordered), share)]


def supported(count: int, share: float) -> bool:
    """Whether so many samples can tell this percentile; the median is told by any number."""
    return count > 0 and (share <= 50 or round(count * (100 - share), 6) >= 100 * BEYOND)


def median_interval(rounds: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Between which values the median over all samples lies in 99 of 100 repetitions of the rounds.

    Raises:
        BenchError: there are no samples.
    """
    arrays = [np.sort(np.asarray(samples, np.float64)) for samples in rounds]
    pooled = np.sort(np.concatenate(arrays)) if arrays else np.empty(0)
    if not len(pooled):
        raise BenchError("samples: there must be at least one, found none")
    values = pooled[np.unique(np.linspace(0, len(pooled) - 1, min(_GRID, len(pooled))).astype(int))]
    below = np.stack([np.searchsorted(samples, values, side="right") for samples in arrays])
    times_drawn = np.apply_along_axis(np.bincount, 1, _draws(len(arrays)), minlength=len(arrays))
    halves = times_drawn @ [len(samples) for samples in arrays] / 2
    medians = values[np.argmax(times_drawn @ below >= halves[:, None], axis=1)]
    return _interval(medians)


def ratio_interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Between which values the median of the rounds' ratios lies in 99 of 100 repetitions of the rounds."""
    return _interval(np.median(np.asarray(ratios)[_draws(len(ratios))], axis=1))


def _draws(count: int) -> np.ndarray:
    """``(draws, count)`` indices of rounds, the same ones every time."""
    return np.random.default_rng(0).integers(0, count, (_DRAWS, count))


def _interval(statistics: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(statistics, _TAILS, method="nearest")
    return float(low), float(high)


def _rank(count: int, share: float) -> int:
    return max(math.ceil(round(share * count / 100, 9)), 1) - 1
