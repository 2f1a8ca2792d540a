"""One class out of several; the output is one logit per class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mtl_edge.tasks.base import Metric, TargetStatistics, given
from mtl_edge.tasks.class_labels import ClassLabels
from mtl_edge.tasks.logits import softmax_distances, softmax_losses

if TYPE_CHECKING:
    import torch


class Multiclass(ClassLabels, frozen=True, kw_only=True, tag="multiclass"):
    """Targets are classes ``(N,)``."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy, and recall and F1 averaged over the classes that occur among the labels."""
        return (
            Metric("accuracy", "accuracy", unit="share"),
            Metric("macro_recall", "macro recall", unit="share"),
            Metric("macro_f1", "macro F1", unit="score"),
        )

    def measure(self, decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Accuracy, macro recall and macro F1."""
        from sklearn.metrics import accuracy_score, f1_score, recall_score

        labels = self.labels(targets)
        known = given(labels)
        labels, decoded = labels[known], decoded[known]
        occurring = np.unique(labels)
        return {
            "accuracy": float(accuracy_score(labels, decoded)),
            "macro_recall": float(recall_score(labels, decoded, labels=occurring, average="macro")),
            "macro_f1": float(f1_score(labels, decoded, labels=occurring, average="macro")),
        }

    def losses(self, outputs: torch.Tensor, labels: torch.Tensor, statistics: TargetStatistics) -> torch.Tensor:
        """Cross-entropy."""
        return softmax_losses(outputs, labels, statistics.class_weights, self.label_smoothing)

    def distillation_losses(
        self, outputs: torch.Tensor, teacher: torch.Tensor, statistics: TargetStatistics, temperature: float
    ) -> torch.Tensor:
        """Divergence of the softened classes from the teacher's."""
        return softmax_distances(outputs, teacher, temperature)
