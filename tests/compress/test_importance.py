"""Tests of :mod:`mtl_edge.compress.importance`."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from mtl_edge.compress.importance import Ranking, rank, task_gradients
from mtl_edge.nets.multitask import MultiTaskNet

EXAMPLE = torch.zeros(2, 6)
Losses = Callable[[MultiTaskNet], dict[str, Tensor]]


def _trunk(rankings: Mapping[str, Ranking]) -> Ranking:
    """The group that both tasks share."""
    return next(ranking for name, ranking in rankings.items() if name.startswith("sharing."))


def _first(net: MultiTaskNet, losses: Losses, *, scale: float = 1.0, **options: object) -> Tensor:
    """Scores of the trunk's channels, where the second task's loss is scaled."""
    found = losses(net)
    gradients = task_gradients(net, [{"first": found["first"], "second": scale * found["second"]}])
    return _trunk(rank(net, EXAMPLE, gradients, **options)).scores  # type: ignore[arg-type]


def test_the_scale_of_a_loss_decides_in_the_sum_only(net: MultiTaskNet, losses: Losses) -> None:
    """A task whose loss is a thousand times as large orders the summed losses' channels, but not each task's own."""
    own = task_gradients(net, [{"second": losses(net)["second"]}])
    alone = _trunk(rank(net, EXAMPLE, own)).scores
    summed = _first(net, losses, scale=1e3)
    torch.testing.assert_close(summed / summed.mean(), alone / alone.mean(), rtol=0.05, atol=0.05)
    for across in ("worst", "budget"):
        plain, scaled = (_first(net, losses, scale=scale, across=across) for scale in (1.0, 1e3))
        torch.testing.assert_close(plain, scaled)


def test_the_worst_case_keeps_what_one_task_cannot_do_without(net: MultiTaskNet, losses: Losses) -> None:
    """A channel that the second task does not read is worth to the pair what it is worth to the first."""
    head = next(layer for layer in net.heads[1].modules() if isinstance(layer, nn.Linear))
    with torch.no_grad():
        head.weight[:, 3] = 0
    ranking = _trunk(rank(net, EXAMPLE, task_gradients(net, [losses(net)]), across="worst"))
    relative = {task: scores / scores.mean() for task, scores in ranking.by_task.items()}
    assert relative["second"][3] < 1e-6
    torch.testing.assert_close(ranking.scores[3], relative["first"][3])
    torch.testing.assert_close(ranking.scores, torch.maximum(relative["first"], relative["second"]))


def test_a_task_with_a_tight_budget_counts_more(net: MultiTaskNet, losses: Losses) -> None:
    """With enough weight, its order is that of the channels."""
    own = task_gradients(net, [{"first": losses(net)["first"]}])
    alone = _trunk(rank(net, EXAMPLE, own)).scores
    found = _first(net, losses, across="budget", weights={"first": 1e4})
    assert torch.equal(found.argsort(), alone.argsort())


@pytest.mark.parametrize("measure", ["magnitude", "bn-scale"])
def test_weights_rank_without_gradients(net: MultiTaskNet, measure: str) -> None:
    """A channel whose weights are all zero is worth least, also where there are no batch norms to ask."""
    trunk = next(layer for layer in net.sharing.modules() if isinstance(layer, nn.Linear))
    norms = [layer for layer in net.sharing.modules() if isinstance(layer, nn.BatchNorm1d)]
    with torch.no_grad():
        for parameter in (trunk.weight, *(norm.weight for norm in norms)):
            parameter[5] = 0
        for head in net.heads:
            next(layer for layer in head.modules() if isinstance(layer, nn.Linear)).weight[:, 5] = 0
    rankings = rank(net, EXAMPLE, {}, measure=measure)  # type: ignore[arg-type]
    assert _trunk(rankings).scores.argmin() == 5


def test_gradients_of_the_network_stay_as_they_are(net: MultiTaskNet, losses: Losses) -> None:
    """Ranking looks at gradients of its own."""
    rank(net, EXAMPLE, task_gradients(net, [losses(net)]))
    assert all(parameter.grad is None for parameter in net.parameters())
