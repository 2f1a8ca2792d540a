"""A small network of two tasks, and their losses."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mtl_edge.artifact import ModelInput
from mtl_edge.nets.build import build_net
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.preprocessing import Pixels
from mtl_edge.recipe import MLPSpec
from mtl_edge.tasks import Regression, TargetStatistics

TASKS = (Regression(name="first", target="first"), Regression(name="second", target="second"))


@pytest.fixture
def make_net() -> Callable[[], MultiTaskNet]:
    """Make it, the same each time: six inputs, a trunk of 20 channels, and heads of 10."""

    def make() -> MultiTaskNet:
        torch.manual_seed(0)
        source = ModelInput(
            name="x",
            dtype="float32",
            shape=("batch", 6),
            preprocessing=Pixels(raw_dtype="float32", scale=1.0, mean=(0.0,), std=(1.0,)),
        )
        statistics = {task.name: TargetStatistics() for task in TASKS}
        return build_net(MLPSpec(widths=(20,), head_hidden=10), TASKS, source, statistics).eval()

    return make


@pytest.fixture
def net(make_net: Callable[[], MultiTaskNet]) -> MultiTaskNet:
    """One of them."""
    return make_net()


@pytest.fixture
def losses() -> Callable[[MultiTaskNet], dict[str, Tensor]]:
    """Each task's loss on the same batch."""

    def compute(net: MultiTaskNet) -> dict[str, Tensor]:
        x = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
        return {name: out.square().mean() for name, out in net(x).items()}

    return compute
