"""How many channels stay: a share of every group, or what a target of latency, size or parameters allows."""

from collections.abc import Callable, Mapping

from mtl_edge.compress.candidates import Candidates
from mtl_edge.compress.importance import Ranking
from mtl_edge.compress.outcome import Reached
from mtl_edge.compress.prune import uniform
from mtl_edge.compress.shapes import Shape, solve
from mtl_edge.compress.target import Target, read_target
from mtl_edge.progress import spinner
from mtl_edge.recipe import PruneSpec

_NOISE = 0.05
"""Share of a latency by which two that are measured may differ and be the same."""


def choose_shape(
    spec: PruneSpec, rankings: Mapping[str, Ranking], candidates: Candidates, *, share: float = 1.0
) -> tuple[Shape, Reached | None]:
    """The shape that a recipe asks for, and how near it is to the target where there is one.

    Args:
        spec: a ratio or a target, and what channels are rounded to.
        rankings: what channels are worth.
        candidates: what shapes cost; not asked where there is no target.
        share: how far to go on the way from the dense network.
    """
    dense = candidates.dense_channels
    if spec.target is None:
        ratio = spec.ratio if share == 1 else round(1 - (1 - spec.ratio) ** share, 9)
        return uniform(rankings, ratio=ratio, round_to=spec.round_to, dense=dense), None
    target = _target_of(spec.target, share, candidates)
    with spinner(f"prune: look for {target}"):
        cost = {"latency": candidates.latency, "size": candidates.size, "parameters": candidates.parameters}[target.of]
        solved = solve(
            rankings,
            cost,
            limit=_limit_of(target, candidates),
            round_to=spec.round_to,
            whole=_whole_cost(cost, candidates),
            dense=dense,
            noise=_NOISE if target.of == "latency" else 0.0,
        )
    return solved.shape, Reached(
        target=str(target),
        of=target.of,
        ratio=solved.cost,
        holds=solved.reached,
        dense_ms=candidates.dense_ms if target.of == "latency" else None,
        tried=solved.tried,
    )


def _target_of(text: str, share: float, candidates: Candidates) -> Target:
    """A recipe's target, or what of it is to be reached so far on the way from the dense network."""
    target = read_target(text)
    return target.part(share, candidates.dense_ms if target.absolute and share < 1 else 1.0)


def _limit_of(target: Target, candidates: Candidates) -> float:
    """What a shape may cost, relative to the dense network."""
    return target.amount / candidates.dense_ms if target.absolute else target.amount


def _whole_cost(cost: Callable[[Shape], float], candidates: Candidates) -> float:
    """What a network costs with all its channels, relative to the dense one; that is known of the dense one itself."""
    if candidates.whole is None:
        return 1.0
    return cost({name: ranking.channels for name, ranking in candidates.rankings.items()})
