"""Labels that are one class out of several: what multiclass, ordinal and segmentation tasks have in common."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np

from mtl_edge.tasks.base import (
    NO_CLASS,
    Decoding,
    TargetStatistics,
    TaskFields,
    as_classes,
    finite,
    first_index,
    given,
    in_parts,
    names_fault,
    shape_fault,
)
from mtl_edge.tasks.weighting import Balanced, Smoothing, Weight, balanced_weights


class ClassLabels(TaskFields, frozen=True, kw_only=True):
    """Labels are the whole numbers ``0 … classes - 1``; -1 or NaN where there is none.

    ``class_names`` are what people call them, in this order, if they have names.
    ``class_weights`` multiply the losses: one number per class, or ``"balanced"``, under which each class of the
    training labels counts the same. ``label_smoothing`` is the share of a label's certainty that is spread over all
    classes.
    """

    classes: Annotated[int, msgspec.Meta(ge=2)]
    class_names: tuple[str, ...] = ()
    class_weights: Balanced | tuple[Weight, ...] = ()
    label_smoothing: Smoothing = 0.0

    def __post_init__(self) -> None:
        if fault := names_fault(self.class_names, self.classes):
            raise ValueError(fault)
        count = len(self.class_weights)
        if self.class_weights and self.class_weights != "balanced" and count != self.classes:
            raise ValueError(
                f"class_weights: must have one number for each of the {self.classes} classes, found {count}"
            )

    @property
    def width(self) -> int:
        """One logit per class."""
        return self.classes

    @property
    def decoding(self) -> Decoding:
        """The class with the largest logit."""
        return "softmax"

    @property
    def dense(self) -> bool:
        """One label for a sample."""
        return False

    def find_fault(self, targets: np.ndarray) -> str | None:
        """Labels must be whole numbers within the range of classes, or -1 or NaN where there is none."""
        if fault := shape_fault(targets, ("N", "H", "W") if self.dense else ("N",)):
            return fault
        if targets.dtype.kind == "f":
            fractional = (targets != targets.round()) & ~np.isnan(targets)
            if fractional.any():
                found = targets.flat[fractional.argmax()]
                return f"classes must be whole numbers, found {found:g} at index {first_index(fractional)}"
        outside = (targets < NO_CLASS) | (targets >= self.classes)
        if outside.any():
            return (
                f"classes = {self.classes} allows the labels 0 to {self.classes - 1} ({NO_CLASS}: no label), found "
                f"{int(outside.sum())} outside, the first is {targets.flat[outside.argmax()]:g} at index "
                f"{first_index(outside)}"
            )
        return None

    def labels(self, targets: np.ndarray) -> np.ndarray:
        """Classes as int64."""
        return as_classes(targets)

    def strata(self, targets: np.ndarray) -> dict[str, np.ndarray]:
        """The classes; of maps, which samples have a pixel of it."""
        present = np.zeros((self.classes, len(targets)), bool)
        for part in in_parts(targets):
            labels = self.labels(targets[part]).reshape(len(targets[part]), -1)
            for number in range(self.classes):
                present[number, part] = (labels == number).any(axis=1)
        return {f"class {number}": mask for number, mask in enumerate(present)}

    def fit(self, targets: np.ndarray) -> TargetStatistics:
        """Logits have no unit; the weights are those of the recipe, or balance the training labels."""
        if self.class_weights != "balanced":
            return TargetStatistics(class_weights=self.class_weights)
        counts = np.zeros(self.classes, np.int64)
        for part in in_parts(targets):
            labels = self.labels(targets[part])
            counts += np.bincount(labels[given(labels)], minlength=self.classes)
        return TargetStatistics(class_weights=balanced_weights(counts))

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """The class with the largest logit, in the smallest dtype that holds all classes."""
        classes: np.ndarray = finite(outputs, self.name).argmax(axis=1)
        return classes.astype(np.min_scalar_type(self.classes - 1))
