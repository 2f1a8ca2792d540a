"""Multi-task networks: what the tasks share, and one head per task."""

import copy
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from mtl_edge.nets.trunks.base import Features


@runtime_checkable
class Foldable(Protocol):
    """A module that can do the same with fewer steps, once its weights are final."""

    def folded(self) -> nn.Module:
        """The same function, with constants inside the weights."""


class MultiTaskNet(nn.Module):
    """A sharing scheme and one head per task; calling it gives each task's output by name."""

    def __init__(self, sharing: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.sharing = sharing
        self.tasks = tuple(heads)
        self.heads = nn.ModuleList(heads.values())  # not a ModuleDict, which forbids names such as "keys"

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """A batch of inputs -> task name -> ``(N, width)``, or ``(N, width, H, W)`` of a dense task."""
        return self.answers(self.sharing(x))

    def answers(self, features: Sequence[Features]) -> dict[str, Tensor]:
        """What the sharing scheme has found for each task -> task name -> output."""
        return {name: head(part) for name, head, part in zip(self.tasks, self.heads, features, strict=True)}

    def for_export(self) -> "MultiTaskNet":
        """A copy in evaluation mode that computes the same with fewer steps."""
        net = copy.deepcopy(self).eval()
        _fold(net)
        return net

    @property
    def parameter_count(self) -> int:
        """Number of trained values."""
        return sum(parameter.numel() for parameter in self.parameters())


def _fold(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        _fold(child)
        if isinstance(child, Foldable):
            setattr(module, name, child.folded().eval())
