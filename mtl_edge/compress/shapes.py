"""How many channels each group keeps: along one ratio for all, and where each pays most, down to a target.

A cost is that of a shape relative to the dense network: its latency, size or parameters. A search asks for few of
them, since each may be a measurement: shapes are put in a row from the dense one to the smallest, and halved.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch

from mtl_edge.compress.importance import Ranking
from mtl_edge.compress.prune import uniform

Shape = Mapping[str, int]
"""Name of a group -> how many of its channels are left."""

_RATIOS = 256
_LEAST = 0.25
"""Of a group's channels; where one pays much, it is not to pay for all."""
_GAIN = 0.01
"""Of the dense network's cost; less is noise, and such a group keeps its channels."""
_MOST_GROUPS = 24
"""Whose own gain is measured."""


@dataclass(frozen=True)
class Solved:
    """What a search found.

    Attributes:
        shape: the one to take.
        cost: relative to the dense network's.
        reached: whether that is within the limit.
        tried: how many shapes were looked at.
    """

    shape: Shape
    cost: float
    reached: bool
    tried: int = 0


def solve(
    rankings: Mapping[str, Ranking],
    cost: Callable[[Shape], float],
    *,
    limit: float,
    round_to: int,
    whole: float = 1.0,
    dense: Shape = MappingProxyType({}),
    noise: float = 0.0,
) -> Solved:
    """The shape within a limit that loses least: first along one ratio for all groups, then group by group.

    What each group gains alone is asked for, and channels leave where the gain is highest for the importance that is
    lost. The result is taken if it loses less than the same share of every group does. Where no shape is within the
    limit, the cheapest is taken, or the largest that costs the same but for noise; never one that costs more than the
    dense network.

    Args:
        rankings: what channels are worth.
        cost: of a shape; asked once for each.
        limit: what it may cost.
        round_to: channels left are a multiple of it.
        whole: the cost with all channels: less than 1 where blocks or channels have left before.
        dense: the dense network's channels of each group, where some have left before.
        noise: share of a cost by which two that are measured may differ and be the same.
    """
    row = uniform_row(rankings, round_to)
    if limit >= whole:
        return Solved(row[0], whole, reached=True)
    asked: dict[tuple[int, ...], float] = {}

    def once(shape: Shape) -> float:
        key = tuple(shape.values())
        if key not in asked:
            asked[key] = cost(shape)
        return asked[key]

    plain = _first_within(row, once, limit, whole)
    if noise and not plain.reached:  # channels that cost nothing stay
        as_cheap = plain.cost * (1 + noise)
        largest = Solved(row[0], whole, reached=False) if whole <= as_cheap else None
        plain = largest or replace(_first_within(row, once, as_cheap, whole), reached=False)
    if not plain.reached:
        return replace(plain, tried=len(asked))
    gains = {name: _gain(name, row[0], plain.shape, once, whole) for name in _largest(rankings, plain.shape)}
    refined = _first_within(greedy_row(rankings, gains, round_to, dense), once, limit, whole)
    better = refined.reached and lost(rankings, refined.shape) < lost(rankings, plain.shape)
    return replace(refined if better else plain, tried=len(asked))


def uniform_row(rankings: Mapping[str, Ranking], round_to: int) -> list[Shape]:
    """Shapes that lose the same share of every group, each one smaller than the one before; the dense one first."""
    row: list[Shape] = []
    for step in range(_RATIOS):
        shape = uniform(rankings, ratio=step / _RATIOS, round_to=round_to)
        if not row or shape != row[-1]:
            row.append(shape)
    return row


def greedy_row(
    rankings: Mapping[str, Ranking],
    gains: Mapping[str, float],
    round_to: int,
    dense: Shape = MappingProxyType({}),
) -> list[Shape]:
    """Shapes that lose ``round_to`` channels of one group each, where most is gained for what is lost.

    Args:
        rankings: what channels are worth.
        gains: name of a group -> what a channel of it costs; those without keep their channels.
        round_to: channels left are a multiple of it.
        dense: the dense network's channels of each group, where some have left before.
    """
    least = {name: max(round_to, _LEAST * dense.get(name, ranking.channels)) for name, ranking in rankings.items()}
    row: list[Shape] = [{name: ranking.channels for name, ranking in rankings.items()}]
    losses = {name: _losses(ranking, rankings) for name, ranking in rankings.items()}
    while True:
        shape = row[-1]
        pays: dict[str, float] = {}
        smaller: dict[str, int] = {}
        for name, ranking in rankings.items():
            here, there = shape[name], (shape[name] - 1) // round_to * round_to
            if gains.get(name, 0) > 0 and there >= least[name]:
                leaving = losses[name][ranking.channels - there] - losses[name][ranking.channels - here]
                pays[name], smaller[name] = gains[name] * (here - there) / max(leaving, 1e-12), there
        if not pays:
            return row
        best = max(pays, key=pays.__getitem__)
        row.append({**shape, best: smaller[best]})


def lost(rankings: Mapping[str, Ranking], shape: Shape) -> float:
    """What leaves with a shape's channels, of all that there is: of each channel, the largest share of any task's."""
    losses = {name: _losses(ranking, rankings) for name, ranking in rankings.items()}
    leaving = sum(losses[name][ranking.channels - shape[name]] for name, ranking in rankings.items())
    return leaving / max(sum(values[-1] for values in losses.values()), 1e-12)


def _losses(ranking: Ranking, rankings: Mapping[str, Ranking]) -> list[float]:
    """What is lost with so many channels of a group, from none to all, those that are worth least first."""
    tasks = {task: sum(float(other.by_task[task].sum()) for other in rankings.values()) for task in ranking.by_task}
    shares = [values / max(tasks[task], 1e-12) for task, values in ranking.by_task.items()]
    worth = torch.stack(shares).amax(0) if shares else ranking.scores / ranking.scores.sum().clamp_min(1e-12)
    each = (worth / ranking.width).repeat_interleave(ranking.width)
    order = ranking.scores.repeat_interleave(ranking.width).argsort(stable=True)
    return [0.0, *each[order].cumsum(0).tolist()]


def _first_within(row: Sequence[Shape], cost: Callable[[Shape], float], limit: float, whole: float) -> Solved:
    """The largest shape of a row within a limit, by halving; the cheapest that was tried where there is none."""
    first, last = 0, len(row) - 1  # with all channels it costs more than the limit
    if cost(row[last]) > limit:
        cheapest = min(({cost(shape): shape for shape in (row[last // 2], row[last])} | {whole: row[0]}).items())
        return Solved(cheapest[1], cheapest[0], reached=False)
    while last - first > 1:
        middle = (first + last) // 2
        if cost(row[middle]) > limit:
            first = middle
        else:
            last = middle
    return Solved(row[last], cost(row[last]), reached=True)


def _largest(rankings: Mapping[str, Ranking], shape: Shape) -> list[str]:
    """The groups that a shape takes most channels from."""
    excess = {name: ranking.channels - shape[name] for name, ranking in rankings.items()}
    return sorted((name for name in excess if excess[name] > 0), key=lambda name: -excess[name])[:_MOST_GROUPS]


def _gain(name: str, dense: Shape, narrow: Shape, cost: Callable[[Shape], float], whole: float) -> float:
    """What each channel of a group costs, where only this group is narrowed."""
    saved = whole - cost({**dense, name: narrow[name]})
    return saved / (dense[name] - narrow[name]) if saved > _GAIN else 0.0
