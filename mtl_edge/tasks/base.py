"""What every task kind offers to the rest of the line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import msgspec
import numpy as np

from mtl_edge.errors import ModelError

if TYPE_CHECKING:
    import torch

Decoding = Literal["softmax", "sigmoid", "cumulative-sigmoid", "identity"]
"""How a client reads an output ``(N, width, …)``.

``softmax``: the answer is the index of the largest value along axis 1, their softmax its probability. ``sigmoid``: each
value is a question, yes above 0, its sigmoid the probability of yes. ``cumulative-sigmoid``: the answer is the rank,
the number of values above 0. ``identity``: the value itself, in the task's unit.
"""

TASK_NAME = r"\A[A-Za-z_][\w.-]*\Z"

NO_CLASS = -1
"""What stands in a label of a class that nobody gave; a number that nobody gave is NaN."""

_PART = 2**22
"""Labels that are dealt with at a time, where there may be one for each pixel."""


@dataclass(frozen=True)
class Metric:
    """One figure of merit of a task.

    ``unit`` says how people speak of it: a ``share`` in per cent and its changes in points, an ``error`` as a number
    and its changes in per cent, a ``score`` as a number and its changes as numbers.
    """

    name: str
    title: str
    unit: Literal["share", "error", "score"]

    @property
    def higher_is_better(self) -> bool:
        """Of errors one wants less."""
        return self.unit != "error"

    def gain(self, value: float, base: float) -> float:
        """How much better than a base, relative to it: 0.01 is an error 1 % lower, or anything else 1 % higher.

        Where the base is 0, it is the difference itself.
        """
        change = (value - base) / (abs(base) or 1.0)
        return change if self.higher_is_better else -change

    def format(self, value: float) -> str:
        """The value as people write it: ``97.30 %``, ``0.5561``."""
        return f"{100 * value:.2f} %" if self.unit == "share" else f"{value:.4f}"

    def change(self, value: float, base: float) -> str:
        """The signed difference to a base: ``-0.20 pt``, ``+1.4 %``, ``-0.0009``."""
        difference = value - base
        if self.unit == "share":
            return f"{_unsigned_zero(100 * difference, 2):+.2f} pt"
        if self.unit == "error" and base:
            return f"{_unsigned_zero(100 * difference / abs(base), 1):+.1f} %"
        return f"{_unsigned_zero(difference, 4):+.4f}"


def _unsigned_zero(value: float, digits: int) -> float:
    """Rounded, with 0.0 instead of -0.0."""
    return round(value, digits) + 0.0


@dataclass(frozen=True)
class TargetStatistics:
    """What is fitted on the labels of the training samples.

    ``mean`` and ``std`` are those of a number that the head's last step brings back to its own unit. ``class_weights``
    weigh the losses of the classes, or of no and yes for each label in turn; none means that all weigh the same.
    """

    mean: float = 0.0
    std: float = 1.0
    class_weights: tuple[float, ...] = ()


class TaskFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What a recipe says about a task of any kind.

    ``name`` is also the name of the network's output; ``target`` is the data set's array of labels. ``max_drop`` is how
    much worse than the dense fp32 network its first metric may become in int8: ``0.5pt``, or ``2%`` of it.
    """

    name: Annotated[str, msgspec.Meta(pattern=TASK_NAME)]
    target: str
    max_drop: str | None = None


def names_fault(names: tuple[str, ...], classes: int) -> str | None:
    """Why these cannot be the names of the classes, or None; none at all are fine."""
    if not names or (len(names) == classes and len(set(names)) == classes):
        return None
    found = f"{len(names)}" if len(names) != classes else "the same one twice"
    return f"class_names: must have a name of its own for each of the {classes} classes, found {found}"


def as_numbers(targets: np.ndarray) -> np.ndarray:
    """Labels that are numbers: float32, NaN where nobody gave one."""
    return targets.astype(np.float32)


def as_classes(targets: np.ndarray) -> np.ndarray:
    """Labels that are classes: int64, :data:`NO_CLASS` where nobody gave one (NaN, where classes stand as floats)."""
    if targets.dtype.kind == "f":
        targets = np.where(np.isnan(targets), NO_CLASS, targets)
    classes: np.ndarray = targets.astype(np.int64)
    return classes


def given(labels: np.ndarray) -> np.ndarray:
    """Where labels (from :func:`as_numbers` or :func:`as_classes`) were given: bool, of the same shape."""
    known: np.ndarray = ~np.isnan(labels) if labels.dtype.kind == "f" else labels != NO_CLASS
    return known


def first_index(mask: np.ndarray) -> str:
    """Where a mask is first true, as people write it: ``7``, or ``(0, 3, 2)`` where there are several axes."""
    first = tuple(int(position) for position in np.unravel_index(mask.argmax(), mask.shape))
    return str(first if len(first) > 1 else first[0])


def shape_fault(targets: np.ndarray, axes: tuple[int | str, ...]) -> str | None:
    """Why an array has not these axes, or None; a name stands for any size."""
    if targets.ndim == len(axes) and all(
        isinstance(wanted, str) or wanted == found for wanted, found in zip(axes, targets.shape, strict=True)
    ):
        return None
    shape = f"({', '.join(map(str, axes))}{',' * (len(axes) == 1)})"
    return f"labels must have the shape {shape}, found {targets.shape}"


def finite(outputs: np.ndarray, name: str) -> np.ndarray:
    """The outputs, once they are known to be numbers.

    Raises:
        ModelError: the network has computed a NaN or an infinity, which no metric may hide.
    """
    bad = int(outputs.size - np.isfinite(outputs).sum())
    if bad:
        raise ModelError(f"output {name!r}: values must be finite, found {bad} NaN or inf in a batch of {len(outputs)}")
    return outputs


def in_parts(targets: np.ndarray) -> Iterator[slice]:
    """Slices of samples with some million labels each, since maps of all samples in float64 may not fit in memory."""
    step = max(_PART * len(targets) // max(targets.size, 1), 1)
    for start in range(0, len(targets), step):
        yield slice(start, start + step)


class TaskKind(Protocol):
    """The members that a task kind must have.

    A label that nobody gave counts nowhere: not in the statistics, not in the loss, not in the metrics. Shapes below
    have ``(N, H, W)`` in place of ``(N,)`` for dense tasks, and ``(N, width, H, W)`` in place of ``(N, width)``;
    multilabel targets are ``(N, width)``.
    """

    @property
    def name(self) -> str:
        """The task's name, and the name of the network's output."""

    @property
    def target(self) -> str:
        """The data set's array of labels."""

    @property
    def max_drop(self) -> str | None:
        """How much worse its first metric may become in int8; see :class:`mtl_edge.tasks.budget.Budget`."""

    @property
    def width(self) -> int:
        """Number of values in the network's output per sample, or per pixel."""

    @property
    def decoding(self) -> Decoding:
        """How its output is read."""

    @property
    def dense(self) -> bool:
        """Whether every pixel has a label and an output."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What :meth:`measure` returns, the one to show first at the front."""

    def find_fault(self, targets: np.ndarray) -> str | None:
        """Why these arrays of the data set cannot be this task's labels, or None; they hold numbers, maybe NaN."""

    def labels(self, targets: np.ndarray) -> np.ndarray:
        """The data set's targets as float32 or int64 with the mark of labels that nobody gave (see :func:`given`)."""

    def strata(self, targets: np.ndarray) -> dict[str, np.ndarray]:
        """What samples should be told apart by when few stand for all, such as ``class 3``, and which ``(N,)`` have it.

        A sample without a label has none of them.
        """

    def fit(self, targets: np.ndarray) -> TargetStatistics:
        """The statistics of the training targets ``(N,)``."""

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """The network's outputs of one batch -> what :meth:`measure` needs of them, no larger than that.

        Raises:
            ModelError: the outputs are not finite.
        """

    def measure(self, decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Metric name -> value, from the decoded outputs of all samples and the data set's targets.

        The targets are such that :meth:`find_fault` finds nothing, with at least one label. Needs scikit-learn, which
        is not imported before.
        """

    def losses(self, outputs: torch.Tensor, labels: torch.Tensor, statistics: TargetStatistics) -> torch.Tensor:
        """Training losses ``(M,)``, one for each of the M labels that were given; the mean is left to the caller.

        The class weights, and nothing else, make a loss larger or smaller than the loss's own definition.
        """

    def distillation_losses(
        self, outputs: torch.Tensor, teacher: torch.Tensor, statistics: TargetStatistics, temperature: float
    ) -> torch.Tensor:
        """Distances to a teacher's outputs ``(N,)``, or one for each pixel, flat."""
