"""Which channels serve one task only: where tasks share layers without sharing what is in them."""

from collections.abc import Mapping

import torch

from mtl_edge.compress.importance import Ranking
from mtl_edge.compress.outcome import PrunedGroup

_ALONE = 0.8
"""Of what a channel is worth to all tasks; with two tasks, four times as much as to the other."""


def describe(rankings: Mapping[str, Ranking], kept: Mapping[str, int]) -> tuple[PrunedGroup, ...]:
    """Each group as the report shows it.

    Args:
        rankings: of :func:`mtl_edge.compress.importance.rank`, on the network before pruning.
        kept: name of a group -> how many of its channels are left.
    """
    return tuple(
        PrunedGroup(name=name, channels=ranking.channels, kept=kept[name], serves=serving_alone(ranking))
        for name, ranking in rankings.items()
    )


def serving_alone(ranking: Ranking) -> dict[str, int]:
    """Task -> how many channels serve it only, of the tasks that have a use for the group; empty where only one has."""
    worth = {task: scores / scores.mean() for task, scores in ranking.by_task.items() if scores.any()}
    if len(worth) < 2:
        return {}
    shares = torch.stack(list(worth.values()))
    shares = shares / shares.sum(0).clamp_min(torch.finfo(shares.dtype).tiny)
    alone = (shares > _ALONE).sum(1) * ranking.width
    return dict(zip(worth, alone.tolist(), strict=True))
