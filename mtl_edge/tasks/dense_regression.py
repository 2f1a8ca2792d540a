"""One real number for each pixel, such as depth; the output is in the target's own unit."""

from __future__ import annotations

import numpy as np

from mtl_edge.tasks.base import Metric, in_parts
from mtl_edge.tasks.number_labels import NumberLabels


class DenseRegression(NumberLabels, frozen=True, kw_only=True, tag="dense-regression"):
    """Targets are maps of numbers ``(N, H, W)``, in the height and width of the input."""

    @property
    def dense(self) -> bool:
        """One label for each pixel."""
        return True

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Mean absolute error, mean error relative to the label, and root mean squared error."""
        return (
            Metric("mae", "absolute error", unit="error"),
            Metric("relative_error", "relative error", unit="error"),
            Metric("rmse", "RMSE", unit="error"),
        )

    def measure(self, decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Means over all pixels of all samples; the relative error over those whose label is not 0, else 0."""
        from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, mean_squared_error

        rows = []
        for part in in_parts(targets):
            known = ~np.isnan(targets[part])
            if known.any():
                labels, found = (maps[part][known].astype(np.float64) for maps in (targets, decoded))
                nonzero = labels != 0
                relative = mean_absolute_percentage_error(labels[nonzero], found[nonzero]) if nonzero.any() else 0.0
                errors = mean_absolute_error(labels, found), relative, mean_squared_error(labels, found)
                rows.append((*errors, len(labels), int(nonzero.sum())))
        absolute, relative, squared, count, nonzero = np.array(rows).T
        return {
            "mae": float(np.average(absolute, weights=count)),
            "relative_error": float(relative @ nonzero / max(nonzero.sum(), 1)),
            "rmse": float(np.sqrt(np.average(squared, weights=count))),
        }
