"""Tests of :mod:`mtl_edge.compress.conflict` and of what :mod:`mtl_edge.compress.outcome` says of it."""

import msgspec
import torch

from mtl_edge.compress.conflict import describe, serving_alone
from mtl_edge.compress.importance import Ranking
from mtl_edge.compress.outcome import Pruned, Reached, conflict_line, pruned_lines, target_line

REACHED = Reached(target="0.5x latency", of="latency", ratio=0.48, holds=True, tried=9, dense_ms=1.25)


def _ranking(*, width: int = 1, **by_task: list[float]) -> Ranking:
    scores = {task: torch.tensor(values) for task, values in by_task.items()}
    return Ranking(torch.stack(list(scores.values())).sum(0), width, scores)


def test_a_channel_serves_the_task_that_it_is_worth_most_to() -> None:
    """The scale of a task's loss does not matter, nor does a channel that is of no use to either."""
    found = serving_alone(_ranking(left=[4.0, 0.0, 4.0, 0.0], right=[0.0, 300.0, 300.0, 0.0]))
    assert found == {"left": 1, "right": 1}


def test_channels_of_a_head_are_in_no_conflict() -> None:
    """Only one task has a use for them; heads of an attention count as their channels."""
    assert serving_alone(_ranking(left=[4.0, 1.0], right=[0.0, 0.0])) == {}
    assert serving_alone(_ranking(width=8, left=[1.0, 0.0], right=[1.0, 1.0])) == {"left": 0, "right": 8}


def test_the_line_says_how_many_and_where_most() -> None:
    """Counted over the shared groups; nothing is said where none is shared."""
    rankings = {
        "stem": _ranking(left=[1.0, 1.0, 1.0, 1.0], right=[1.0, 1.0, 1.0, 1.0]),
        "deep": _ranking(left=[1.0, 0.0], right=[0.0, 1.0]),
        "head": _ranking(left=[1.0, 1.0, 1.0], right=[0.0, 0.0, 0.0]),
    }
    groups = describe(rankings, {"stem": 2, "deep": 2, "head": 1})
    assert [(group.channels, group.kept) for group in groups] == [(4, 2), (2, 2), (3, 1)]
    line = "2 of 6 shared channels serve one task only (left 1, right 1), most in deep (2 of 2)"
    assert conflict_line(Pruned(importance="taylor", groups=groups)) == line
    assert conflict_line(Pruned(importance="taylor", groups=groups[:1])) == (
        "none of 4 shared channels serves one task only"
    )
    assert pruned_lines({"pruned": Pruned(importance="taylor", groups=groups[2:])}) == []


def test_the_line_says_what_came_of_a_target() -> None:
    """Reached, the nearest to it, or nothing removed because nothing was better."""
    assert target_line(REACHED) == "0.48x latency (0.6 of 1.25 ms) for a target of 0.5x latency, of 9 shapes tried"
    wide = msgspec.structs.replace(REACHED, tried=0)
    assert target_line(wide) == "0.48x latency (0.6 of 1.25 ms) for a target of 0.5x latency, with all channels"
    near = msgspec.structs.replace(REACHED, holds=False, ratio=0.7, of="size", target="0.1x size", dense_ms=None)
    assert target_line(near) == "no shape reaches the target of 0.1x size: this is the nearest, 0.70x size"
    assert target_line(msgspec.structs.replace(near, ratio=1.0)).endswith(
        "none is better than the unpruned network: no channel is removed"
    )
