"""What labelled samples say of a network: gradients and losses, each task on its own."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mtl_edge.compress.importance import task_gradients
from mtl_edge.data.splits import Samples
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.train.learner import Learner


@dataclass(frozen=True)
class Evidence:
    """The first ``batches`` of some samples; None are all of them."""

    learner: Learner
    samples: Samples
    batch_size: int
    batches: int | None = 10

    def gradients(self, net: MultiTaskNet) -> dict[str, dict[str, Tensor]]:
        """Task -> the gradient of its loss."""
        return task_gradients(net, self._each(net))

    def losses(self, net: MultiTaskNet) -> dict[str, float]:
        """Task -> its mean loss."""
        with torch.no_grad():
            found = list(self._each(net))
        return {task: sum(float(batch[task]) for batch in found) / len(found) for task in found[0]}

    def _each(self, net: MultiTaskNet) -> Iterator[dict[str, Tensor]]:
        for part in self._slices():
            outputs = net(self.learner.inputs(self.samples, part))
            yield self.learner.losses(outputs, self.learner.labels(self.samples, part))

    def _slices(self) -> Iterator[slice]:
        starts = range(0, len(self.samples), self.batch_size)[: self.batches]
        yield from (slice(start, start + self.batch_size) for start in starts)
