"""One class for each pixel; the output is one logit per class and pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mtl_edge.tasks.base import Metric, TargetStatistics, given, in_parts
from mtl_edge.tasks.class_labels import ClassLabels
from mtl_edge.tasks.logits import softmax_distances, softmax_losses

if TYPE_CHECKING:
    import torch


class Segmentation(ClassLabels, frozen=True, kw_only=True, tag="segmentation"):
    """Targets are maps of classes ``(N, H, W)``, in the height and width of the input."""

    @property
    def dense(self) -> bool:
        """One label for each pixel."""
        return True

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Intersection over union, averaged over the classes that occur among the labels, and the share of pixels."""
        return (
            Metric("miou", "mIoU", unit="share"),
            Metric("pixel_accuracy", "pixel accuracy", unit="share"),
        )

    def measure(self, decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Mean intersection over union, and pixel accuracy, over all pixels of all samples."""
        from sklearn.metrics import accuracy_score, jaccard_score

        counts = np.zeros(self.classes**2, np.int64)
        for part in in_parts(targets):
            labels = self.labels(targets[part])
            known = given(labels)
            counts += np.bincount(labels[known] * self.classes + decoded[part][known], minlength=len(counts))
        # scikit-learn would sort the millions of pixels: it gets each pair of label and answer once, with its weight
        pairs = counts.nonzero()[0]
        labels, answers = np.divmod(pairs, self.classes)
        weights = counts[pairs]
        return {
            "miou": float(
                jaccard_score(labels, answers, labels=np.unique(labels), average="macro", sample_weight=weights)
            ),
            "pixel_accuracy": float(accuracy_score(labels, answers, sample_weight=weights)),
        }

    def losses(self, outputs: torch.Tensor, labels: torch.Tensor, statistics: TargetStatistics) -> torch.Tensor:
        """Cross-entropy of the pixels."""
        return softmax_losses(outputs, labels, statistics.class_weights, self.label_smoothing)

    def distillation_losses(
        self, outputs: torch.Tensor, teacher: torch.Tensor, statistics: TargetStatistics, temperature: float
    ) -> torch.Tensor:
        """Divergence of the pixels' softened classes from the teacher's."""
        return softmax_distances(outputs, teacher, temperature)
