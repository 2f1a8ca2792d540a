"""What samples can tell of a task's loss: how far it would move, had other samples been drawn.

Two models are asked about the same samples, and on most of them they agree: the loss of one against the other is known
far better than the metric of either. So it is the loss whose standard error is estimated, by the delete-a-group
jackknife (Efron & Tibshirani 1993, chapter 11), which is the same for every kind of task and every metric.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from mtl_edge.tasks.base import TaskKind, given
from mtl_edge.tasks.budget import Budget

_GROUPS = 12
"""So the standard error is known to about a fifth of itself."""
_FEWEST = 10
"""Samples, from which on something is said of a loss."""


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """How well a loss is known that a budget limits.

    ``error`` is its standard error in the budget's unit, None where there are too few ``samples`` of the ``split`` to
    say. Only those count that have a label of the task.
    """

    task: str
    budget: Budget
    split: str
    samples: int
    error: float | None

    @property
    def drowns(self) -> bool:
        """Whether the budget is less than the noise, so that chance decides whether it is kept."""
        return self.error is None or self.budget.amount < self.error

    def __str__(self) -> str:
        samples = f"{self.samples:,} {self.split} sample{'s' * (self.samples != 1)}"
        if self.error is None:
            return f"the budget of {self.task}, {self.budget}, cannot be judged by {samples}"
        line = f"the budget of {self.task}, {self.budget}, is less than the noise of {samples}"
        line += f": a loss on them has a standard error of {self.error:.2g} {self.budget.unit}"
        if self.budget.amount:
            enough = math.ceil(self.samples * (self.error / self.budget.amount) ** 2)
            line += f"; it takes some {float(f'{enough:.2g}'):,.0f} to tell"
        return line


def loss_noise(
    task: TaskKind, budget: Budget, before: np.ndarray, after: np.ndarray, targets: np.ndarray, *, split: str
) -> Noise:
    """How well the loss of a task is known that a model has against another.

    Args:
        task: its first metric counts.
        budget: what the loss is limited by.
        before: decoded answers of the model that the loss is counted from (see :meth:`TaskKind.decode`).
        after: those of the other one, to the same samples.
        targets: the data set's labels.
        split: what the samples are called.
    """
    known = np.flatnonzero(given(task.labels(targets)).reshape(len(targets), -1).any(axis=1))
    count = len(known)
    if count < _FEWEST:
        return Noise(task=task.name, budget=budget, split=split, samples=count, error=None)
    metric = task.metrics[0]
    order = np.random.default_rng(0).permutation(known)
    losses = []
    for group in np.array_split(order, min(_GROUPS, count)):
        left = np.setdiff1d(known, group)
        values = [task.measure(answers[left], targets[left])[metric.name] for answers in (after, before)]
        losses.append(budget.loss(metric, *values))
    error = math.sqrt((len(losses) - 1) * float(np.var(losses)))
    if metric.unit == "share":
        error = max(error, 100 / count)  # one sample more or less must not decide, even where all are alike
    return Noise(task=task.name, budget=budget, split=split, samples=count, error=error)
