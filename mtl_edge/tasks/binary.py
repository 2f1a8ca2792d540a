"""Yes or no; the output is the logit of yes."""

from __future__ import annotations

import numpy as np

from mtl_edge.tasks.base import Metric, given, shape_fault
from mtl_edge.tasks.yes_no_labels import YesNoLabels, answer_fault


class Binary(YesNoLabels, frozen=True, kw_only=True, tag="binary"):
    """Targets are answers ``(N,)``."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy, recall and F1 of yes, and the area under the receiver operating characteristic."""
        return (
            Metric("accuracy", "accuracy", unit="share"),
            Metric("recall", "recall", unit="share"),
            Metric("f1", "F1", unit="score"),
            Metric("roc_auc", "ROC AUC", unit="score"),
        )

    def find_fault(self, targets: np.ndarray) -> str | None:
        """Zeros and ones, and both of them, since ROC AUC is not defined for one alone."""
        if fault := shape_fault(targets, ("N",)) or answer_fault(targets):
            return fault
        labels = self.labels(targets)
        occurring = np.unique(labels[given(labels)])
        return f"both 0 and 1 must occur, found only {occurring[0]}" if len(occurring) == 1 else None

    def measure(self, decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Accuracy; recall and F1 of yes, which are 0 without any; ROC AUC, which is 0.5 for one class alone."""
        from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score

        labels = self.labels(targets)
        known = given(labels)
        labels, logits = labels[known], decoded[known, 0]
        answers = (logits > 0).astype(labels.dtype)
        return {
            "accuracy": float(accuracy_score(labels, answers)),
            "recall": float(recall_score(labels, answers, zero_division=0)),
            "f1": float(f1_score(labels, answers, zero_division=0)),
            "roc_auc": float(roc_auc_score(labels, logits)) if labels.min() != labels.max() else 0.5,
        }
