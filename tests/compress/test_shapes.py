"""Tests of :mod:`mtl_edge.compress.shapes`, with costs that follow from a rule in place of a clock."""

import pytest
import torch

from mtl_edge.compress.importance import Ranking
from mtl_edge.compress.shapes import Shape, greedy_row, lost, solve, uniform_row

GROUPS = {"wide": 64, "deep": 32, "head": 16}
PRICES = {"wide": 1.0, "deep": 4.0, "head": 0.0}
"""Of a channel."""


def _rankings(**tasks: float) -> dict[str, Ranking]:
    """Channels that are worth the more the later they stand, all groups of the same importance to each task."""
    found = {}
    for name, channels in GROUPS.items():
        scores = torch.arange(1.0, channels + 1)
        found[name] = Ranking(scores, 1, {task: scale * scores / scores.sum() for task, scale in tasks.items()})
    return found


class _Rule:
    """A shape costs the sum of its channels' prices."""

    def __init__(self, fixed: float = 0.0) -> None:
        self.fixed, self.asked = fixed, list[tuple[int, ...]]()

    def __call__(self, shape: Shape) -> float:
        self.asked.append(tuple(shape.values()))
        return self._price(shape) / self._price(GROUPS)

    def _price(self, shape: Shape) -> float:
        return self.fixed + sum(PRICES[name] * count for name, count in shape.items())


def test_shapes_of_one_ratio_go_from_all_channels_to_as_few_as_there_can_be() -> None:
    """Each is smaller than the one before, and all are multiples of what the kernels like."""
    row = uniform_row(_rankings(), 8)
    assert (row[0], row[-1]) == (GROUPS, {"wide": 8, "deep": 8, "head": 8})
    sizes = [sum(shape.values()) for shape in row]
    assert sizes == sorted(set(sizes), reverse=True)
    assert all(count % 8 == 0 for shape in row for count in shape.values())


@pytest.mark.parametrize("limit", [0.8, 0.5, 0.3])
def test_a_target_is_met_with_few_questions(limit: float) -> None:
    """No shape is asked for twice, and channels that cost nothing stay: nothing is gained by losing them."""
    rule, rankings = _Rule(), _rankings(left=1.0, right=1.0)
    solved = solve(rankings, rule, limit=limit, round_to=8)
    assert solved.reached
    assert solved.cost <= limit
    assert solved.shape["head"] == GROUPS["head"]
    assert solved.shape["deep"] / GROUPS["deep"] < solved.shape["wide"] / GROUPS["wide"]
    assert all(count % 8 == 0 for count in solved.shape.values())
    assert solved.tried == len(rule.asked) == len(set(rule.asked)) < 15
    within = [shape for shape in uniform_row(rankings, 8) if rule(shape) <= limit]
    assert lost(rankings, solved.shape) < min(lost(rankings, shape) for shape in within)


def test_the_nearest_shape_is_taken_where_none_is_small_enough() -> None:
    """Half of the cost is not the channels'."""
    rule = _Rule(fixed=192.0)
    solved = solve(_rankings(left=1.0), rule, limit=0.3, round_to=8)
    assert not solved.reached
    assert solved.shape == {"wide": 8, "deep": 8, "head": 8}
    assert solved.cost == pytest.approx(rule(solved.shape))


@pytest.mark.parametrize("fixed", [192.0, 1e4])
def test_channels_that_gain_less_than_noise_stay_where_the_target_is_out_of_reach(fixed: float) -> None:
    """Of the shapes that cost what the cheapest does, but for noise, the largest is taken: maybe the dense one."""
    rule, rankings = _Rule(fixed=fixed), _rankings(left=1.0)
    solved = solve(rankings, rule, limit=0.3, round_to=8, noise=0.05)
    row = uniform_row(rankings, 8)
    assert not solved.reached
    assert solved.shape == next(shape for shape in row if rule(shape) <= rule(row[-1]) * 1.05) != row[-1]
    assert solved.cost == pytest.approx(rule(solved.shape))
    assert (solved.shape == GROUPS) == (fixed == 1e4)


def test_what_costs_more_than_the_dense_network_is_never_taken() -> None:
    """Where every narrower shape is slower, all channels stay."""
    solved = solve(_rankings(left=1.0), lambda shape: 1.0 if dict(shape) == GROUPS else 1.2, limit=0.5, round_to=8)
    assert (solved.shape, solved.cost, solved.reached) == (GROUPS, 1.0, False)


def test_a_target_that_the_dense_network_meets_takes_nothing_away() -> None:
    """And nothing is asked for."""
    rule = _Rule()
    assert solve(_rankings(left=1.0), rule, limit=1.5, round_to=8).shape == GROUPS
    assert not rule.asked


def test_channels_leave_where_no_task_needs_them() -> None:
    """At the same price, a group that is dear to one task keeps its channels, whatever the others' worth."""
    rankings = _rankings(left=1.0, right=1.0)
    dear = rankings["deep"].by_task["left"] * 50
    rankings["deep"] = Ranking(rankings["deep"].scores, 1, {"left": dear, "right": 0 * dear})
    row = greedy_row(rankings, dict.fromkeys(GROUPS, 1.0), 8)
    assert row[3]["deep"] == GROUPS["deep"]
    assert row[3]["wide"] < GROUPS["wide"]


def test_no_group_pays_for_all() -> None:
    """However cheap its channels are, a quarter of them stays."""
    row = greedy_row(_rankings(left=1.0), {"wide": 1.0, "deep": 1e-6}, 8)
    assert row[-1] == {"wide": 16, "deep": 8, "head": 16}
