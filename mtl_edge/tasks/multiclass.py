"""One class out of several; the output is one logit per class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

from mtl_edge.tasks.base import NO_CLASS, Metric, TargetStatistics, TaskFields, as_classes, given

if TYPE_CHECKING:
    import torch


class Multiclass(TaskFields, frozen=True, kw_only=True, tag="multiclass"):
    """Labels are the integers ``0 … classes - 1``."""

    classes: Annotated[int, msgspec.Meta(ge=2)]

    @property
    def width(self) -> int:
        """One logit per class."""
        return self.classes

    @property
    def dense(self) -> bool:
        """One label for a sample."""
        return False

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy, and recall averaged over the classes that occur."""
        return (
            Metric("accuracy", "accuracy", unit="share"),
            Metric("macro_recall", "macro recall", unit="share"),
        )

    def find_fault(self, targets: np.ndarray) -> str | None:
        """Labels must be whole numbers within the range of classes, or -1 or NaN where there is none."""
        if targets.ndim != 1:
            return f"labels must have the shape (N,), found {targets.shape}"
        fractional = (targets != targets.round()) & ~np.isnan(targets)
        if fractional.any():
            index = int(fractional.argmax())
            return f"classes must be whole numbers, found {targets[index]:g} at index {index}"
        outside = (targets < NO_CLASS) | (targets >= self.classes)
        if outside.any():
            index = int(outside.argmax())
            return (
                f"classes = {self.classes} allows the labels 0 to {self.classes - 1} ({NO_CLASS}: no label), found "
                f"{int(outside.sum())} outside, the first is {targets[index]:g} at index {index}"
            )
        return None

    def labels(self, targets: np.ndarray) -> np.ndarray:
        """Classes as int64."""
        return as_classes(targets)

    def fit(self, targets: np.ndarray) -> TargetStatistics:
        """Logits have no unit."""
        return TargetStatistics()

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """The class with the largest logit."""
        classes: np.ndarray = outputs.argmax(axis=1)
        return classes

    def measure(self, decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Accuracy and macro recall."""
        labels = self.labels(targets)
        known = given(labels)
        labels, right = labels[known], (decoded == labels)[known]
        recalls = [float(right[labels == label].mean()) for label in range(self.classes) if (labels == label).any()]
        return {"accuracy": float(right.mean()), "macro_recall": sum(recalls) / len(recalls)}

    def losses(self, outputs: torch.Tensor, labels: torch.Tensor, statistics: TargetStatistics) -> torch.Tensor:
        """Cross-entropy."""
        from torch.nn import functional

        known = labels != NO_CLASS
        return functional.cross_entropy(outputs[known], labels[known], reduction="none")

    def distillation_losses(
        self, outputs: torch.Tensor, teacher: torch.Tensor, statistics: TargetStatistics, temperature: float
    ) -> torch.Tensor:
        """Kullback-Leibler divergence of the softened classes, times T² (Hinton et al. 2015, arXiv:1503.02531)."""
        from torch.nn import functional

        student_log = functional.log_softmax(outputs / temperature, dim=1)
        teacher_log = functional.log_softmax(teacher / temperature, dim=1)
        divergence = functional.kl_div(student_log, teacher_log, reduction="none", log_target=True).sum(dim=1)
        return divergence * temperature**2
