"""Multi-task networks: what the tasks share, and one head per task."""

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from mtl_edge.nets.heads import Head


class MultiTaskNet(nn.Module):
    """A sharing scheme and one head per task; calling it gives each task's output by name."""

    def __init__(self, sharing: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.sharing = sharing
        self.tasks = tuple(heads)
        self.heads = nn.ModuleList(heads.values())  # not a ModuleDict, which forbids names such as "keys"

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """A batch of inputs -> task name -> ``(N, width)``, or ``(N, width, H, W)`` of a dense task."""
        features = self.sharing(x)
        return {name: head(part) for name, head, part in zip(self.tasks, self.heads, features, strict=True)}

    def for_export(self) -> "MultiTaskNet":
        """A copy in evaluation mode that computes the same with fewer steps."""
        heads = [head.folded() if isinstance(head, Head) else copy.deepcopy(head) for head in self.heads]
        return MultiTaskNet(copy.deepcopy(self.sharing), dict(zip(self.tasks, heads, strict=True))).eval()

    @property
    def parameter_count(self) -> int:
        """Number of trained values."""
        return sum(parameter.numel() for parameter in self.parameters())
