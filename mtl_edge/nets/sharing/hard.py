"""Hard parameter sharing (Caruana 1997): every task reads the same features."""

from collections.abc import Callable

from torch import Tensor, nn

from mtl_edge.nets.trunks.base import Features, Trunk


class HardSharing(nn.Module):
    """One trunk for all tasks."""

    def __init__(self, make_trunk: Callable[[], Trunk], tasks: int) -> None:
        super().__init__()
        self.trunk = make_trunk()
        self.tasks = tasks

    def forward(self, x: Tensor) -> list[Features]:
        """A batch of inputs -> the same features for each task."""
        features: Features = self.trunk(x)
        return [features] * self.tasks
