"""Several answers of yes or no, such as tags; the output is the logit of yes for each."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np

from mtl_edge.tasks.base import Metric, given, names_fault, shape_fault
from mtl_edge.tasks.yes_no_labels import YesNoLabels, answer_fault


class Multilabel(YesNoLabels, frozen=True, kw_only=True, tag="multilabel"):
    """Targets are answers ``(N, classes)``; each of them may be missing on its own.

    ``class_names`` are what people call the classes, if they have names.
    """

    classes: Annotated[int, msgspec.Meta(ge=1)]
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if fault := names_fault(self.class_names, self.classes):
            raise ValueError(fault)

    @property
    def width(self) -> int:
        """One logit for each class."""
        return self.classes

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """F1 by class and over all answers, the share of samples without an error, and ROC AUC by class.

        Macro F1 is averaged over the classes with a yes among the labels, macro ROC AUC over those with both answers.
        """
        return (
            Metric("macro_f1", "macro F1", unit="score"),
            Metric("micro_f1", "micro F1", unit="score"),
            Metric("exact_match", "exact match", unit="share"),
            Metric("macro_roc_auc", "macro ROC AUC", unit="score"),
        )

    def find_fault(self, targets: np.ndarray) -> str | None:
        """Zeros and ones, and both of them in at least one class, since ROC AUC is not defined for one alone."""
        if fault := shape_fault(targets, ("N", self.classes)) or answer_fault(targets):
            return fault
        labels = self.labels(targets)
        if given(labels).any() and not ((labels == 0).any(axis=0) & (labels == 1).any(axis=0)).any():
            return f"both 0 and 1 must occur in at least one of the {self.classes} classes, found none such"
        return None

    def measure(self, decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """F1 scores, which are 0 without any yes; exact match of the answers given; ROC AUC, 0.5 without both."""
        from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

        labels = self.labels(targets)
        known, answers = given(labels), (decoded > 0).astype(labels.dtype)
        f1, auc = [], []
        for column in range(self.classes):
            rows = known[:, column]
            if (labels[rows, column] == 1).any():
                f1.append(f1_score(labels[rows, column], answers[rows, column]))
                if (labels[rows, column] == 0).any():
                    auc.append(roc_auc_score(labels[rows, column], decoded[rows, column]))
        some = known.any(axis=1)
        filled = np.where(known, labels, answers)  # an answer that nobody gave cannot be wrong
        return {
            "macro_f1": float(np.mean(f1)) if f1 else 0.0,
            "micro_f1": float(f1_score(labels[known], answers[known], zero_division=0)),
            "exact_match": float(accuracy_score(filled[some], answers[some])),
            "macro_roc_auc": float(np.mean(auc)) if auc else 0.5,
        }
