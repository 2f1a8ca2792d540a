"""One real number; the output is in the target's own unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl_edge.tasks.base import Metric, Standardisation, TaskFields

if TYPE_CHECKING:
    import numpy as np
    import torch


class Regression(TaskFields, frozen=True, kw_only=True, tag="regression"):
    """Labels are finite numbers; losses are taken on the standardised scale, so that no unit outweighs a task."""

    @property
    def width(self) -> int:
        """One number."""
        return 1

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Mean absolute error, mean squared error, and the share of the variance that is explained."""
        return (
            Metric("mae", "MAE", unit="error"),
            Metric("mse", "MSE", unit="error"),
            Metric("r2", "R²", unit="score"),
        )

    def find_fault(self, targets: np.ndarray) -> str | None:
        """Any finite number will do, but not the same one everywhere."""
        if targets.min() == targets.max():
            return f"labels must differ, found {targets[0]:g} for each of the {len(targets)} samples"
        return None

    def standardisation(self, targets: np.ndarray) -> Standardisation:
        """Mean and standard deviation of the training labels."""
        wide = targets.astype("float64")
        return Standardisation(mean=float(wide.mean()), std=float(wide.std()))

    def measure(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """MAE and MSE in the target's unit; R², which is 1 or 0 where all labels are equal."""
        wide = targets.astype("float64")
        error = outputs[:, 0].astype("float64") - wide
        mse, variance = float((error**2).mean()), float(wide.var())
        r2 = 1 - mse / variance if variance else float(mse == 0)
        return {"mae": float(abs(error).mean()), "mse": mse, "r2": r2}

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor, scale: Standardisation) -> torch.Tensor:
        """Mean squared error in standard deviations of the target."""
        return (((outputs[:, 0] - targets) / scale.std) ** 2).mean()

    def distillation_loss(
        self, outputs: torch.Tensor, teacher: torch.Tensor, scale: Standardisation, temperature: float
    ) -> torch.Tensor:
        """Mean squared distance to the teacher, in standard deviations of the target."""
        return (((outputs - teacher) / scale.std) ** 2).mean()
