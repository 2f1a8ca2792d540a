"""Who teaches: one trained network, one for each task, or several that agree on an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mtl_edge.errors import RecipeError
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.recipe import DistillSpec
from mtl_edge.tasks import Task


@dataclass(frozen=True)
class Teacher:
    """Trained networks that are part of the goal.

    Attributes:
        nets: each has some of the tasks, or all.
        spec: what is transferred, and how much each part counts.
    """

    nets: Sequence[MultiTaskNet]
    spec: DistillSpec

    def check_tasks(self, tasks: Sequence[Task]) -> None:
        """See to it that every task is taught.

        Raises:
            RecipeError: no network has a task.
        """
        known = {name for net in self.nets for name in net.tasks}
        missing = [task.name for task in tasks if task.name not in known]
        if missing:
            raise RecipeError(
                f"compress.distill.teacher: must have the tasks {', '.join(task.name for task in tasks)}, "
                f"found {', '.join(sorted(known)) or 'none'}, without {', '.join(missing)}"
            )

    def weight(self, task: str) -> float:
        """The teacher's part of a task's loss."""
        return self.spec.weights.get(task, self.spec.weight)

    def get_outputs(self) -> Sequence["TaughtOutput"]:
        """The tasks, as outputs of one model: a teacher is a :class:`mtl_edge.runtime.Session`, too."""
        names = dict.fromkeys(name for net in self.nets for name in net.tasks)
        return [TaughtOutput(name) for name in names]

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, np.ndarray], /) -> Sequence[np.ndarray]:
        """What the networks agree on, of a batch that is given as to an ``InferenceSession``."""
        (batch,) = map(torch.from_numpy, feeds.values())
        with torch.inference_mode():
            given = agreed([net(batch) for net in self.nets])
        return [given[name].numpy() for name in names or given]


@dataclass(frozen=True)
class TaughtOutput:
    """A task's output, and its type as ONNX Runtime says it."""

    name: str
    type: str = "tensor(float)"


def agreed(outputs: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Task -> the mean of what several networks say of it, each of which may have some of the tasks only.

    The mean of logits stands for the geometric mean of likelihoods (Hinton et al. 2015, arXiv:1503.02531).
    """
    by_task: dict[str, list[Tensor]] = {}
    for given in outputs:
        for name, out in given.items():
            by_task.setdefault(name, []).append(out)
    return {name: torch.stack(parts).mean(dim=0) for name, parts in by_task.items()}
