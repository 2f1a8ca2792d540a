"""Mean and standard deviation of numbers that come in parts."""

import numpy as np


class Moments:
    """Count, mean and sum of squared deviations, merged part by part in float64; NaN counts as absent.

    The merging is that of Chan et al. 1983 (doi:10.1080/00031305.1983.10483115).
    """

    def __init__(self, width: int) -> None:
        self._count = np.zeros(width)
        self._mean = np.zeros(width)
        self._squares = np.zeros(width)

    def add(self, values: np.ndarray) -> None:
        """Count in some values ``(N, width)``."""
        wide = values.astype(np.float64)
        known = ~np.isnan(wide)
        count = known.sum(axis=0)
        mean = np.where(known, wide, 0).sum(axis=0) / np.maximum(count, 1)
        squares = (np.where(known, wide - mean, 0) ** 2).sum(axis=0)
        total = self._count + count
        share = count / np.maximum(total, 1)
        difference = mean - self._mean
        self._mean = self._mean + difference * share
        self._squares = self._squares + squares + difference**2 * self._count * share
        self._count = total

    @property
    def mean(self) -> np.ndarray:
        """``(width,)``; 0 where there was no value."""
        return self._mean

    @property
    def std(self) -> np.ndarray:
        """``(width,)``; 0 where there was no value."""
        deviation: np.ndarray = np.sqrt(self._squares / np.maximum(self._count, 1))
        return deviation
