"""What labelled samples say of a network: gradients and losses, each task on its own."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from mtl_edge.compress.importance import task_gradients
from mtl_edge.data.splits import Samples
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.train.learner import Learner

_BATCHES = 10


@dataclass(frozen=True)
class Evidence:
    """A few batches of training samples."""

    learner: Learner
    samples: Samples
    batch_size: int

    def gradients(self, net: MultiTaskNet) -> dict[str, dict[str, Tensor]]:
        """Task -> the gradient of its loss."""
        return task_gradients(net, self._each(net))

    def losses(self, net: MultiTaskNet) -> dict[str, float]:
        """Task -> its mean loss."""
        with torch.no_grad():
            found = list(self._each(net))
        return {task: sum(float(batch[task]) for batch in found) / len(found) for task in found[0]}

    def renormed(self, net: MultiTaskNet) -> MultiTaskNet:
        """A copy whose batch norms have statistics of these samples.

        After a cut they have those of the uncut network, which says more of the statistics than of the cut: with fresh
        ones, networks can be compared before any is trained (Li et al. 2020, arXiv:2007.02491).
        """
        fresh = copy.deepcopy(net).eval()
        norms = [module for module in fresh.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
            norm.train()
        with torch.no_grad():
            for part in self._slices():
                fresh(self.learner.inputs(self.samples, part))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        return fresh.eval()

    def _each(self, net: MultiTaskNet) -> Iterator[dict[str, Tensor]]:
        for part in self._slices():
            outputs = net(self.learner.inputs(self.samples, part))
            yield self.learner.losses(outputs, self.learner.labels(self.samples, part))

    def _slices(self) -> Iterator[slice]:
        for start in range(0, min(len(self.samples), _BATCHES * self.batch_size), self.batch_size):
            yield slice(start, start + self.batch_size)
