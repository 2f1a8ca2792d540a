"""One real number; the output is in the target's own unit."""

from __future__ import annotations

import numpy as np

from mtl_edge.tasks.base import Metric
from mtl_edge.tasks.number_labels import NumberLabels


class Regression(NumberLabels, frozen=True, kw_only=True, tag="regression"):
    """Targets are numbers ``(N,)``."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Mean absolute error, mean squared error, and the share of the variance that is explained."""
        return (
            Metric("mae", "MAE", unit="error"),
            Metric("mse", "MSE", unit="error"),
            Metric("r2", "R²", unit="score"),
        )

    def measure(self, decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """MAE and MSE in the target's unit; R², which is 1 or 0 where all labels are equal."""
        from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

        known = ~np.isnan(targets)
        labels, found = targets[known].astype(np.float64), decoded[known].astype(np.float64)
        mse = float(mean_squared_error(labels, found))
        return {
            "mae": float(mean_absolute_error(labels, found)),
            "mse": mse,
            "r2": float(r2_score(labels, found)) if len(labels) > 1 else float(mse == 0),
        }
