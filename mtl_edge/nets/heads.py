"""Heads: from features to the output of one task."""

import copy

import torch
from torch import Tensor, nn

from mtl_edge.nets.trunks.base import Features
from mtl_edge.tasks import TargetStatistics


class Head(nn.Module):
    """One hidden layer, one output layer, and the way back to the target's own unit."""

    mean: Tensor
    std: Tensor

    def __init__(self, features: int, hidden: int, width: int, statistics: TargetStatistics) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, hidden)
        self.output = nn.Linear(hidden, width)
        self.register_buffer("mean", torch.tensor(statistics.mean))
        self.register_buffer("std", torch.tensor(statistics.std))

    def forward(self, features: Features) -> Tensor:
        """Pooled features ``(N, features)`` -> ``(N, width)``."""
        out: Tensor = self.output(torch.relu(self.hidden(features.pooled)))
        return out * self.std + self.mean

    def folded(self) -> nn.Module:
        """The same function with mean and std inside the output layer: two nodes less at run time."""
        output = copy.deepcopy(self.output)
        with torch.no_grad():
            output.weight *= self.std
            output.bias.copy_(output.bias * self.std + self.mean)
        return _FoldedHead(copy.deepcopy(self.hidden), output)


class _FoldedHead(nn.Module):
    def __init__(self, hidden: nn.Linear, output: nn.Linear) -> None:
        super().__init__()
        self.hidden = hidden
        self.output = output

    def forward(self, features: Features) -> Tensor:
        out: Tensor = self.output(torch.relu(self.hidden(features.pooled)))
        return out
