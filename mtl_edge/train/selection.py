"""How good an epoch is, over all tasks: to stop early, and to keep the best."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Protocol

from mtl_edge.tasks import Task


class Measured(Protocol):
    """An epoch with the metrics of the validation samples."""

    @property
    def metrics(self) -> Mapping[str, Mapping[str, float]]:
        """Task name -> metric name -> value."""


def progress(history: Sequence[Measured], tasks: Sequence[Task]) -> list[float]:
    """For each epoch, the mean over the tasks of how much their first metric is better than after the first epoch.

    The change is relative to the first epoch's value; where that is 0, it is the change itself. A task without a
    finite value, for lack of labels, counts nowhere.
    """
    first = history[0].metrics
    return [_mean([_gain(task, epoch.metrics, first) for task in tasks]) for epoch in history]


def best_epoch(history: Sequence[Measured], tasks: Sequence[Task]) -> int:
    """The position of the epoch with most progress; of equals, the first."""
    values = progress(history, tasks)
    return values.index(max(values))


def _gain(task: Task, metrics: Mapping[str, Mapping[str, float]], first: Mapping[str, Mapping[str, float]]) -> float:
    metric = task.metrics[0]
    return metric.gain(metrics[task.name][metric.name], first[task.name][metric.name])


def _mean(gains: Sequence[float]) -> float:
    finite = [gain for gain in gains if math.isfinite(gain)]
    return fmean(finite) if finite else 0.0
