"""Hard parameter sharing (Caruana 1997): every task reads the same features."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mtl_edge.tasks import Standardisation


class Head(nn.Module):
    """One hidden layer, one output layer, and the way back to the target's own unit."""

    mean: Tensor
    std: Tensor

    def __init__(self, features: int, hidden: int, width: int, scale: Standardisation) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, hidden)
        self.output = nn.Linear(hidden, width)
        self.register_buffer("mean", torch.tensor(scale.mean))
        self.register_buffer("std", torch.tensor(scale.std))

    def forward(self, features: Tensor) -> Tensor:
        """``(N, features)`` -> ``(N, width)``."""
        out: Tensor = self.output(torch.relu(self.hidden(features)))
        return out * self.std + self.mean

    def folded(self) -> nn.Module:
        """The same function with mean and std inside the output layer: two nodes less at run time."""
        output = copy.deepcopy(self.output)
        with torch.no_grad():
            output.weight *= self.std
            output.bias.copy_(output.bias * self.std + self.mean)
        return nn.Sequential(copy.deepcopy(self.hidden), nn.ReLU(), output)


class MultiTaskNet(nn.Module):
    """A trunk and one head per task; calling it gives each task's output by name."""

    def __init__(self, trunk: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.trunk = trunk
        self.tasks = tuple(heads)
        self.heads = nn.ModuleList(heads.values())  # not a ModuleDict, which forbids names such as "keys"

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """A batch of inputs -> task name -> ``(N, width)``."""
        features = self.trunk(x)
        return {name: head(features) for name, head in zip(self.tasks, self.heads, strict=True)}

    def for_export(self) -> "MultiTaskNet":
        """A copy in evaluation mode that computes the same with fewer steps."""
        heads = [head.folded() if isinstance(head, Head) else copy.deepcopy(head) for head in self.heads]
        return MultiTaskNet(copy.deepcopy(self.trunk), dict(zip(self.tasks, heads, strict=True))).eval()

    @property
    def parameter_count(self) -> int:
        """Number of trained values."""
        return sum(parameter.numel() for parameter in self.parameters())
