"""One class out of several; the output is one logit per class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from mtl_edge.tasks.base import Metric, Standardisation, TaskFields

if TYPE_CHECKING:
    import numpy as np
    import torch


class Multiclass(TaskFields, frozen=True, kw_only=True, tag="multiclass"):
    """Labels are the integers ``0 … classes - 1``."""

    classes: Annotated[int, msgspec.Meta(ge=2)]

    @property
    def width(self) -> int:
        """One logit per class."""
        return self.classes

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy, and recall averaged over the classes that occur."""
        return (
            Metric("accuracy", "accuracy", unit="share"),
            Metric("macro_recall", "macro recall", unit="share"),
        )

    def find_fault(self, targets: np.ndarray) -> str | None:
        """Labels must be whole numbers within the range of classes."""
        if (targets != targets.round()).any():
            index = int((targets != targets.round()).argmax())
            return f"classes must be whole numbers, found {targets[index]:g} at index {index}"
        outside = (targets < 0) | (targets >= self.classes)
        if outside.any():
            index = int(outside.argmax())
            return (
                f"classes = {self.classes} allows the labels 0 to {self.classes - 1}, found {int(outside.sum())} "
                f"outside, the first is {targets[index]:g} at index {index}"
            )
        return None

    def standardisation(self, targets: np.ndarray) -> Standardisation:
        """Logits have no unit."""
        return Standardisation()

    def measure(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Accuracy and macro recall of the class with the largest logit."""
        right = outputs.argmax(axis=1) == targets
        recalls = [float(right[targets == label].mean()) for label in range(self.classes) if (targets == label).any()]
        return {"accuracy": float(right.mean()), "macro_recall": sum(recalls) / len(recalls)}

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor, scale: Standardisation) -> torch.Tensor:
        """Cross-entropy."""
        from torch.nn import functional

        return functional.cross_entropy(outputs, targets.long())

    def distillation_loss(
        self, outputs: torch.Tensor, teacher: torch.Tensor, scale: Standardisation, temperature: float
    ) -> torch.Tensor:
        """Kullback-Leibler divergence of the softened classes, times T² (Hinton et al. 2015, arXiv:1503.02531)."""
        from torch.nn import functional

        student_log = functional.log_softmax(outputs / temperature, dim=1)
        teacher_log = functional.log_softmax(teacher / temperature, dim=1)
        divergence = functional.kl_div(student_log, teacher_log, reduction="batchmean", log_target=True)
        return divergence * temperature**2
