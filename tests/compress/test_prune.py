"""Tests of :mod:`mtl_edge.compress.prune`; every trunk's own are in ``tests/nets``."""

import torch

from mtl_edge.artifact import ModelInput
from mtl_edge.compress.prune import prune_channels
from mtl_edge.nets.build import build_net
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.preprocessing import Pixels
from mtl_edge.recipe import MLPSpec
from mtl_edge.tasks import Regression, TargetStatistics

TASKS = (Regression(name="first", target="first"), Regression(name="second", target="second"))
READS = ModelInput(
    name="x",
    dtype="float32",
    shape=("batch", 6),
    preprocessing=Pixels(raw_dtype="float32", scale=1.0, mean=(0.0,), std=(1.0,)),
)


def _net() -> MultiTaskNet:
    torch.manual_seed(0)
    statistics = {task.name: TargetStatistics() for task in TASKS}
    return build_net(MLPSpec(widths=(20,), head_hidden=10), TASKS, READS, statistics).eval()


def _loss(net: MultiTaskNet, task: str) -> torch.Tensor:
    return net(torch.randn(16, 6, generator=torch.Generator().manual_seed(1)))[task].square().mean()


def test_a_ratio_of_zero_takes_nothing_away() -> None:
    """Not even to make channels a multiple of eight."""
    net = _net()
    pruned = prune_channels(net, torch.zeros(2, 6), [_loss(net, "first")], ratio=0.0, round_to=8)
    assert pruned.parameter_count == net.parameter_count


def test_a_task_that_counts_nothing_decides_nothing() -> None:
    """The channels of its head are all the same to the losses, so only the other's importance orders the trunk's."""
    alone, both = _net(), _net()
    by_one = prune_channels(alone, torch.zeros(2, 6), [_loss(alone, "first")], ratio=0.5, round_to=2)
    loss = _loss(both, "first") + 0.0 * _loss(both, "second")
    by_both = prune_channels(both, torch.zeros(2, 6), [loss], ratio=0.5, round_to=2)
    for mine, theirs in zip(by_one.sharing.parameters(), by_both.sharing.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
