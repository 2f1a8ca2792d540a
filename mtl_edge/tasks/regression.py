"""One real number; the output is in the target's own unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mtl_edge.tasks.base import Metric, TargetStatistics, TaskFields, as_numbers, given

if TYPE_CHECKING:
    import torch


class Regression(TaskFields, frozen=True, kw_only=True, tag="regression"):
    """Labels are finite numbers; losses are taken on the standardised scale, so that no unit outweighs a task."""

    @property
    def width(self) -> int:
        """One number."""
        return 1

    @property
    def dense(self) -> bool:
        """One label for a sample."""
        return False

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Mean absolute error, mean squared error, and the share of the variance that is explained."""
        return (
            Metric("mae", "MAE", unit="error"),
            Metric("mse", "MSE", unit="error"),
            Metric("r2", "R²", unit="score"),
        )

    def find_fault(self, targets: np.ndarray) -> str | None:
        """Any finite number will do, but not the same one everywhere; NaN where there is none."""
        if targets.ndim != 1:
            return f"labels must have the shape (N,), found {targets.shape}"
        if np.isinf(targets).any():
            return f"labels must be finite (NaN: no label), found inf at index {int(np.isinf(targets).argmax())}"
        known = targets[~np.isnan(targets)]
        if known.size and known.min() == known.max():
            return f"labels must differ, found {known[0]:g} for each of the {len(known)} samples"
        return None

    def labels(self, targets: np.ndarray) -> np.ndarray:
        """Numbers as float32."""
        return as_numbers(targets)

    def fit(self, targets: np.ndarray) -> TargetStatistics:
        """Mean and standard deviation of the training labels."""
        wide = targets[~np.isnan(targets)].astype("float64")
        return TargetStatistics(mean=float(wide.mean()), std=float(wide.std()))

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """The number itself."""
        return outputs[:, 0]

    def measure(self, decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """MAE and MSE in the target's unit; R², which is 1 or 0 where all labels are equal."""
        known = given(self.labels(targets))
        wide = targets[known].astype("float64")
        error = decoded[known].astype("float64") - wide
        mse, variance = float((error**2).mean()), float(wide.var())
        r2 = 1 - mse / variance if variance else float(mse == 0)
        return {"mae": float(abs(error).mean()), "mse": mse, "r2": r2}

    def losses(self, outputs: torch.Tensor, labels: torch.Tensor, statistics: TargetStatistics) -> torch.Tensor:
        """Squared errors in standard deviations of the target."""
        known = ~labels.isnan()
        squares: torch.Tensor = ((outputs[:, 0][known] - labels[known]) / statistics.std) ** 2
        return squares

    def distillation_losses(
        self, outputs: torch.Tensor, teacher: torch.Tensor, statistics: TargetStatistics, temperature: float
    ) -> torch.Tensor:
        """Squared distances to the teacher, in standard deviations of the target."""
        squares: torch.Tensor = ((outputs - teacher)[:, 0] / statistics.std) ** 2
        return squares
