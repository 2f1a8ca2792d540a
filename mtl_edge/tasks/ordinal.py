"""One of several classes in an order, such as grades; the output is one logit for each step between two of them.

Logit k stands for the probability that the class is above k: K - 1 yes-or-no questions (Frank & Hall 2001, "A Simple
Approach to Ordinal Classification"), and the class is the number of those that are answered with yes, as in CORAL
(Cao et al. 2020, arXiv:1901.07884).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mtl_edge.tasks.base import NO_CLASS, Decoding, Metric, TargetStatistics, finite, given
from mtl_edge.tasks.class_labels import ClassLabels
from mtl_edge.tasks.logits import sigmoid_distances, sigmoid_losses, weighed

if TYPE_CHECKING:
    import torch


class Ordinal(ClassLabels, frozen=True, kw_only=True, tag="ordinal"):
    """Targets are classes ``(N,)``, in the order of their numbers."""

    @property
    def width(self) -> int:
        """One logit for each step between two classes."""
        return self.classes - 1

    @property
    def decoding(self) -> Decoding:
        """The number of steps that are answered with yes."""
        return "cumulative-sigmoid"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Mean absolute error in ranks, accuracy, and Cohen's kappa with quadratic weights."""
        return (
            Metric("mae", "MAE in ranks", unit="error"),
            Metric("accuracy", "accuracy", unit="share"),
            Metric("quadratic_kappa", "quadratic kappa", unit="score"),
        )

    def find_fault(self, targets: np.ndarray) -> str | None:
        """As of all classes; and two of them must occur, since kappa is not defined for one alone."""
        if fault := super().find_fault(targets):
            return fault
        labels = self.labels(targets)
        occurring = np.unique(labels[given(labels)])
        return f"at least two classes must occur, found only {occurring[0]}" if len(occurring) == 1 else None

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """How many steps the sample is above."""
        ranks: np.ndarray = (finite(outputs, self.name) > 0).sum(axis=1)
        return ranks.astype(np.min_scalar_type(self.classes - 1))

    def measure(self, decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """MAE, accuracy, and quadratic kappa, which is 0 where all labels and answers are one class."""
        from sklearn.metrics import accuracy_score, cohen_kappa_score, mean_absolute_error

        labels = self.labels(targets)
        known = given(labels)
        labels, decoded = labels[known], decoded[known].astype(np.int64)
        defined = labels.min() != labels.max() or (decoded != labels[0]).any()
        kappa = cohen_kappa_score(labels, decoded, labels=range(self.classes), weights="quadratic") if defined else 0
        return {
            "mae": float(mean_absolute_error(labels, decoded)),
            "accuracy": float(accuracy_score(labels, decoded)),
            "quadratic_kappa": float(kappa),
        }

    def losses(self, outputs: torch.Tensor, labels: torch.Tensor, statistics: TargetStatistics) -> torch.Tensor:
        """Binary cross-entropy, averaged over the steps."""
        known = labels != NO_CLASS
        ranks = labels[known]
        above = (ranks[:, None] > ranks.new_tensor(range(self.width))).long()
        losses = sigmoid_losses(outputs[known], above, (), self.label_smoothing)
        return weighed(losses.reshape(above.shape).mean(dim=1), ranks, statistics.class_weights)

    def distillation_losses(
        self, outputs: torch.Tensor, teacher: torch.Tensor, statistics: TargetStatistics, temperature: float
    ) -> torch.Tensor:
        """Divergence of the softened answers from the teacher's, averaged over the steps."""
        return sigmoid_distances(outputs, teacher, temperature)
