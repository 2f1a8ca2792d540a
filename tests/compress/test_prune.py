"""Tests of :mod:`mtl_edge.compress.prune`; every trunk's own are in ``tests/nets``."""

from collections.abc import Callable

import torch
from torch import Tensor

from mtl_edge.compress.importance import rank, task_gradients
from mtl_edge.compress.prune import keep_channels, prune_channels
from mtl_edge.nets.multitask import MultiTaskNet

EXAMPLE = torch.zeros(2, 6)
Losses = Callable[[MultiTaskNet], dict[str, Tensor]]


def test_a_ratio_of_zero_takes_nothing_away(net: MultiTaskNet, losses: Losses) -> None:
    """Not even to make channels a multiple of eight."""
    pruned = prune_channels(net, EXAMPLE, [losses(net)["first"]], ratio=0.0, round_to=8)
    assert pruned.parameter_count == net.parameter_count


def test_a_task_that_counts_nothing_decides_nothing(make_net: Callable[[], MultiTaskNet], losses: Losses) -> None:
    """The channels of its head are all the same to the losses, so only the other's importance orders the trunk's."""
    alone, both = make_net(), make_net()
    by_one = prune_channels(alone, EXAMPLE, [losses(alone)["first"]], ratio=0.5, round_to=2)
    found = losses(both)
    by_both = prune_channels(both, EXAMPLE, [found["first"] + 0.0 * found["second"]], ratio=0.5, round_to=2)
    for mine, theirs in zip(by_one.sharing.parameters(), by_both.sharing.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_each_group_keeps_as_many_channels_as_it_is_told(net: MultiTaskNet, losses: Losses) -> None:
    """Those that are worth most; a group that is not named loses none, and the parent stays as it is."""
    rankings = rank(net, EXAMPLE, task_gradients(net, [losses(net)]))
    heads = [name for name in rankings if name.startswith("heads.")]
    trunk = next(name for name in rankings if name.startswith("sharing."))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    pruned = keep_channels(net, EXAMPLE, rankings, {trunk: 6})
    best = rankings[trunk].scores.argsort(descending=True)[:6].sort().values
    torch.testing.assert_close(pruned.get_parameter(f"{trunk}.weight"), net.get_parameter(f"{trunk}.weight")[best])
    assert [len(pruned.get_parameter(f"{head}.weight")) for head in heads] == [10, 10]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
