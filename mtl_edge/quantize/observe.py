"""What calibration remembers of a tensor: a few numbers and a histogram, however many samples went by."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

_HALF_BITS = 11
_SMALLEST = -120  # the inverse of a width must be a float32

BINS = 2 << _HALF_BITS
"""Most bins of a histogram, one half for each sign: memory is bounded."""

_SAMPLED = 2**10
"""Most values that the histogram counts of each sample of a batch; ends and averages see all of them."""

_FEW, _MANY = 2**13, 2**15
"""What it counts of one batch at least, if there are so many, and at most."""

_MOMENTUM = 0.1


@dataclass
class Observer:
    """Statistics of one tensor over all batches, updated in one pass.

    Bins have a power of two as their width and zero as an edge. So a histogram becomes one of twice as wide bins by
    adding neighbours, without any loss, when values outside its range arrive.

    Attributes:
        low, high: smallest and largest value seen.
        average_low, average_high: exponential moving averages of the smallest and largest value of each batch
            (Jacob et al. 2018, arXiv:1712.05877).
        exponent: bins are ``2 ** exponent`` wide.
        first: which bin ``counts`` begins with; bin ``k`` holds the values in ``[k, k + 1) * width``.
        counts: how many of the values, an even sample of large batches, each bin holds.
    """

    low: float = math.inf
    high: float = -math.inf
    average_low: float = math.nan
    average_high: float = math.nan
    exponent: int | None = None
    first: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    _batches: int = 0

    def update(self, values: np.ndarray) -> None:
        """Take in one batch.

        Raises:
            ValueError: a value is NaN or infinite.
        """
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("values must be finite, found NaN or inf")
        if math.isnan(self.average_low):
            self.average_low, self.average_high = low, high
        else:
            self.average_low += _MOMENTUM * (low - self.average_low)
            self.average_high += _MOMENTUM * (high - self.average_high)
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._widen()
        sampled = min(max(_SAMPLED * math.prod(values.shape[:1]), _FEW), _MANY)
        stride = -(-values.size // sampled) | 1  # odd, so that it runs through all columns of an even width
        self._count(values.reshape(-1)[self._batches % stride :: stride])
        self._batches += 1

    @property
    def width(self) -> float:
        """Width of a bin."""
        return math.ldexp(1.0, self.exponent or 0)

    @property
    def centers(self) -> np.ndarray:
        """The middle of each bin."""
        return (np.arange(self.first, self.first + len(self.counts)) + 0.5) * self.width

    def _widen(self) -> None:
        """Make bins as wide as everything seen needs to fit into :data:`BINS` of them."""
        span = max(abs(self.low), abs(self.high))
        if span == 0:
            return
        exponent = max(math.frexp(span)[1] - _HALF_BITS, _SMALLEST)
        if self.exponent is None:
            self.exponent = exponent
        while self.exponent < exponent:
            self.exponent += 1
            if len(self.counts):
                before = self.first % 2
                after = (before + len(self.counts)) % 2
                self.counts = np.pad(self.counts, (before, after)).reshape(-1, 2).sum(axis=1)
                self.first //= 2

    def _count(self, values: np.ndarray) -> None:
        if self.exponent is None:  # only zeros so far
            self.first, self.counts = 0, np.array([int(self.counts.sum()) + len(values)], np.int64)
            return
        first, last = math.floor(self.low / self.width), math.floor(self.high / self.width)
        if len(self.counts) != last - first + 1:
            grown = np.zeros(last - first + 1, np.int64)
            start = self.first - first
            grown[start : start + len(self.counts)] = self.counts
            self.first, self.counts = first, grown
        # A power of two scales exactly, so no value falls on the wrong side of an edge.
        positions = values * np.float32(1 / self.width)
        np.floor(positions, out=positions)
        self.counts += np.bincount(positions.astype(np.int32) - first, minlength=len(self.counts))
