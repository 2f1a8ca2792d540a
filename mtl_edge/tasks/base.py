"""What every task kind offers to the rest of the line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import torch


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
class Standardisation:
    """Mean and standard deviation of a target over the training samples that the head's last step undoes."""

    mean: float = 0.0
    std: float = 1.0


class TaskFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What a recipe says about a task of any kind.

    ``name`` is also the name of the network's output; ``target`` is the data set's array of labels.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z_][\w.-]*\Z")]
    target: str


class TaskKind(Protocol):
    """The members that a task kind must have."""

    @property
    def name(self) -> str:
        """The task's name, and the name of the network's output."""

    @property
    def target(self) -> str:
        """The data set's array of labels."""

    @property
    def width(self) -> int:
        """Number of values in the network's output per sample."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What :meth:`measure` returns, the one to show first at the front."""

    def find_fault(self, targets: np.ndarray) -> str | None:
        """Why these labels cannot be this task's, or None; finite values of one dimension are given."""

    def standardisation(self, targets: np.ndarray) -> Standardisation:
        """What the head must undo, from the training labels ``(N,)``."""

    def measure(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Metric name -> value, from the runtime's outputs ``(N, width)`` and the labels ``(N,)``."""

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor, scale: Standardisation) -> torch.Tensor:
        """Mean training loss of outputs ``(N, width)`` against labels ``(N,)``."""

    def distillation_loss(
        self, outputs: torch.Tensor, teacher: torch.Tensor, scale: Standardisation, temperature: float
    ) -> torch.Tensor:
        """Mean distance to a teacher's outputs, both ``(N, width)``."""
