"""What a network learns: batches, labels, losses."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mtl_edge.data.splits import Samples
from mtl_edge.preprocessing import Preprocessing
from mtl_edge.tasks import TargetStatistics, Task


@dataclass(frozen=True)
class Learner:
    """What a network learns: its tasks, their statistics, and how raw samples become inputs."""

    tasks: Sequence[Task]
    statistics: Mapping[str, TargetStatistics]
    preprocessing: Preprocessing
    input: str

    def inputs(self, samples: Samples, indices: np.ndarray | slice = slice(None)) -> Tensor:
        """Preprocessed inputs; images in channels-last memory, which is faster on CPUs."""
        batch = torch.from_numpy(self.preprocessing.apply(samples[self.input][indices]))
        return batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch

    def batches(self, samples: Samples, size: int) -> Iterator[Tensor]:
        """The inputs of all samples in their order."""
        for start in range(0, len(samples), size):
            yield self.inputs(samples, slice(start, start + size))

    def labels(self, samples: Samples, indices: np.ndarray | slice = slice(None)) -> dict[str, Tensor]:
        """Task name -> labels, with the mark of those that nobody gave."""
        return {task.name: torch.from_numpy(task.labels(samples[task.target][indices])) for task in self.tasks}

    def losses(
        self,
        outputs: Mapping[str, Tensor],
        labels: Mapping[str, Tensor],
        total: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Task name -> mean loss over the labels that were given; 0 where there is none.

        Args:
            outputs: what the network says.
            labels: what is true.
            total: where a batch is spread over processes, how numbers of labels are summed over them; each process's
                losses are then its share of the batch's.
        """
        parts = {
            task.name: task.losses(outputs[task.name], labels[task.name], self.statistics[task.name])
            for task in self.tasks
        }
        return means(parts, total)

    def distances(
        self,
        outputs: Mapping[str, Tensor],
        taught: Mapping[str, Tensor],
        temperature: float,
        total: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Task name -> distance to a teacher's outputs."""
        parts = {
            task.name: task.distillation_losses(
                outputs[task.name], taught[task.name], self.statistics[task.name], temperature
            )
            for task in self.tasks
        }
        return means(parts, total)


def means(parts: Mapping[str, Tensor], total: Callable[[Tensor], Tensor] | None) -> dict[str, Tensor]:
    """The mean of each, over all processes; of nothing, a zero that can be differentiated."""
    counts = [float(len(part)) for part in parts.values()]
    if total is not None:
        counts = total(torch.tensor(counts, dtype=torch.float64)).tolist()
    return {name: part.sum() / max(count, 1.0) for (name, part), count in zip(parts.items(), counts, strict=True)}
