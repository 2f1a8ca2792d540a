"""Labels that are yes or no: what binary and multilabel tasks have in common; the output is one logit for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mtl_edge.tasks.base import NO_CLASS, Decoding, TargetStatistics, TaskFields, as_classes, finite, first_index
from mtl_edge.tasks.logits import sigmoid_distances, sigmoid_losses
from mtl_edge.tasks.weighting import Balanced, Smoothing, Weight, balanced_weights

if TYPE_CHECKING:
    import torch


class YesNoLabels(TaskFields, frozen=True, kw_only=True):
    """Labels are 1 (yes) and 0 (no), or true and false; -1 or NaN where there is none.

    ``positive_weight`` multiplies the losses of yes; ``"balanced"`` weighs yes and no so that both count the same over
    the training labels. ``label_smoothing`` is the share of a label's certainty that is spread over yes and no.
    """

    positive_weight: Balanced | Weight = 1.0
    label_smoothing: Smoothing = 0.0

    @property
    def width(self) -> int:
        """One logit."""
        return 1

    @property
    def decoding(self) -> Decoding:
        """Yes where the logit is above 0."""
        return "sigmoid"

    @property
    def dense(self) -> bool:
        """One label for a sample."""
        return False

    def labels(self, targets: np.ndarray) -> np.ndarray:
        """Zeros and ones as int64."""
        return as_classes(targets)

    def strata(self, targets: np.ndarray) -> dict[str, np.ndarray]:
        """No and yes; of several answers, yes to each."""
        labels = self.labels(targets).reshape(len(targets), self.width)
        if self.width == 1:
            return {"no": labels[:, 0] == 0, "yes": labels[:, 0] == 1}
        return {f"class {number}": labels[:, number] == 1 for number in range(self.width)}

    def fit(self, targets: np.ndarray) -> TargetStatistics:
        """Logits have no unit; the weights of no and yes are those of the recipe, or balance the training labels."""
        if self.positive_weight == 1:
            return TargetStatistics()
        if self.positive_weight != "balanced":
            return TargetStatistics(class_weights=(1.0, self.positive_weight) * self.width)
        labels = self.labels(targets).reshape(-1, self.width)
        counts = np.stack([(labels == answer).sum(axis=0) for answer in (0, 1)], axis=1)
        return TargetStatistics(class_weights=tuple(weight for pair in counts for weight in balanced_weights(pair)))

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """The logits: ROC AUC needs their order, and yes is what is above 0."""
        return finite(outputs, self.name)

    def losses(self, outputs: torch.Tensor, labels: torch.Tensor, statistics: TargetStatistics) -> torch.Tensor:
        """Binary cross-entropy."""
        return sigmoid_losses(outputs, labels.reshape(outputs.shape), statistics.class_weights, self.label_smoothing)

    def distillation_losses(
        self, outputs: torch.Tensor, teacher: torch.Tensor, statistics: TargetStatistics, temperature: float
    ) -> torch.Tensor:
        """Divergence of the softened answers from the teacher's."""
        return sigmoid_distances(outputs, teacher, temperature)


def answer_fault(targets: np.ndarray) -> str | None:
    """Labels must be 0 or 1, or -1 or NaN where there is none."""
    wrong = ~((targets == 0) | (targets == 1) | (targets == NO_CLASS) | np.isnan(targets))
    if not wrong.any():
        return None
    return (
        f"labels must be 0 or 1 ({NO_CLASS}: no label), found {int(wrong.sum())} others, the first is "
        f"{targets.flat[wrong.argmax()]:g} at index {first_index(wrong)}"
    )
