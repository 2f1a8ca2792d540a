"""Labels that are real numbers: what regression and dense regression have in common; outputs are in their unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mtl_edge.tasks.base import (
    Decoding,
    TargetStatistics,
    TaskFields,
    as_numbers,
    finite,
    first_index,
    in_parts,
    shape_fault,
)

if TYPE_CHECKING:
    import torch

_STRATA = 10


class NumberLabels(TaskFields, frozen=True, kw_only=True):
    """Labels are finite numbers, NaN where there is none; losses are taken on the standardised scale.

    So no unit outweighs a task. ``unit`` is what people call that of labels and outputs, such as ``years``.
    """

    unit: str | None = None

    @property
    def width(self) -> int:
        """One number."""
        return 1

    @property
    def decoding(self) -> Decoding:
        """The number itself."""
        return "identity"

    @property
    def dense(self) -> bool:
        """One label for a sample."""
        return False

    def find_fault(self, targets: np.ndarray) -> str | None:
        """Any finite number will do, but not the same one everywhere; NaN where there is none."""
        if fault := shape_fault(targets, ("N", "H", "W") if self.dense else ("N",)):
            return fault
        infinite = np.isinf(targets)
        if infinite.any():
            return f"labels must be finite (NaN: no label), found inf at index {first_index(infinite)}"
        known = targets[~np.isnan(targets)]
        if known.size and known.min() == known.max():
            return f"labels must differ, found {known[0]:g} for each of the {known.size}"
        return None

    def labels(self, targets: np.ndarray) -> np.ndarray:
        """Numbers as float32."""
        return as_numbers(targets)

    def strata(self, targets: np.ndarray) -> dict[str, np.ndarray]:
        """Tenths of the samples in the order of their numbers; of maps, of their mean."""
        numbers = targets.reshape(len(targets), -1).astype(np.float64)
        known = ~np.isnan(numbers)
        counts = known.sum(axis=1)
        means = np.where(known, numbers, 0).sum(axis=1) / np.maximum(counts, 1)
        rows = np.flatnonzero(counts)
        in_order = rows[means[rows].argsort(kind="stable")]
        masks = {}
        for position, members in enumerate(np.array_split(in_order, _STRATA)):
            mask = np.zeros(len(targets), bool)
            mask[members] = True
            masks[f"tenth {position + 1}"] = mask
        return masks

    def fit(self, targets: np.ndarray) -> TargetStatistics:
        """Mean and standard deviation of the training labels."""
        known = ~np.isnan(targets)
        mean = targets.mean(dtype=np.float64, where=known)
        squares = [
            ((targets[part].astype(np.float64) - mean) ** 2).sum(where=known[part]) for part in in_parts(targets)
        ]
        return TargetStatistics(mean=float(mean), std=float(np.sqrt(sum(squares) / known.sum())))

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """The numbers themselves."""
        return finite(outputs, self.name)[:, 0]

    def losses(self, outputs: torch.Tensor, labels: torch.Tensor, statistics: TargetStatistics) -> torch.Tensor:
        """Squared errors in standard deviations of the target."""
        known = ~labels.isnan()
        squares: torch.Tensor = ((outputs[:, 0][known] - labels[known]) / statistics.std) ** 2
        return squares

    def distillation_losses(
        self, outputs: torch.Tensor, teacher: torch.Tensor, statistics: TargetStatistics, temperature: float
    ) -> torch.Tensor:
        """Squared distances to the teacher, in standard deviations of the target."""
        squares: torch.Tensor = ((outputs - teacher) / statistics.std) ** 2
        return squares.flatten()
