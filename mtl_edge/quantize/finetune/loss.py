"""How far an int8 model is from what it should answer, for each output in the terms of its task."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mtl_edge.quantize.finetune.course import Course
from mtl_edge.tasks import TargetStatistics, Task

LEAST = 1e-7
"""What a distance at the start counts as at least: there is nothing to gain below."""


class Loss:
    """Distances to the teacher and losses of labels, each relative to what it was at the start.

    So every task counts the same, whatever its losses are measured in, and none pays for another's.

    Args:
        course: what is learned.
        outputs: names of those that count.
        taught: the teacher's answers for the samples by which it is watched.
    """

    def __init__(self, course: Course, outputs: Sequence[str], taught: Mapping[str, np.ndarray]) -> None:
        self._course, self._outputs = course, outputs
        self._tasks = {task.name: task for task in course.tasks}
        self._spreads = {name: max(float(taught[name].std()), 1e-6) for name in outputs}
        self._statistics = {
            name: _statistics(task, course.targets.get(name), self._spreads[name])
            for name, task in self._tasks.items()
            if name in outputs
        }
        self._distances: dict[str, float] = {}
        self._losses: dict[str, float] = {}

    def parts(
        self, found: Mapping[str, Tensor], taught: Mapping[str, Tensor], labels: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Mean distance of each output to the teacher's, and mean loss of each task that has labels here."""
        distances, losses = {}, {}
        for name in self._outputs:
            task = self._tasks.get(name)
            if task is None:
                distances[name] = ((found[name] - taught[name]) / self._spreads[name]).square().mean()
                continue
            statistics = self._statistics[name]
            each = task.distillation_losses(found[name], taught[name], statistics, self._course.temperature)
            distances[name] = each.mean()
            if name in labels:
                given = task.losses(found[name], labels[name], statistics)
                losses[name] = given.sum() / max(len(given), 1)
        return distances, losses

    def start(self, distances: Mapping[str, float], losses: Mapping[str, float]) -> None:
        """Let these be what all is relative to."""
        self._distances = {name: max(value, LEAST) for name, value in distances.items()}
        self._losses = {name: max(value, LEAST) for name, value in losses.items()}

    def total(self, distances: Mapping[str, Tensor], losses: Mapping[str, Tensor]) -> Tensor:
        """The mean over the outputs; 1 at the start."""
        parts = []
        for name, distance in distances.items():
            part = distance / self._distances[name]
            if name in losses:
                weight = self._course.weights.get(name, self._course.weight)
                part = weight * part + (1 - weight) * losses[name] / self._losses[name]
            parts.append(part)
        return torch.stack(parts).mean()


def _statistics(task: Task, targets: np.ndarray | None, spread: float) -> TargetStatistics:
    """Those of the labels, or the unit of the teacher's answers."""
    return TargetStatistics(std=spread) if targets is None else task.fit(targets)
