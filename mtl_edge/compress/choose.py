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


def choose_shape(
    spec: PruneSpec, rankings: Mapping[str, Ranking], candidates: Candidates
) -> tuple[Shape, Reached | None]:
    """The shape that a recipe asks for, and how near it is to the target where there is one.

    Args:
        spec: a ratio or a target, and what channels are rounded to.
        rankings: what channels are worth.
        candidates: what shapes cost; not asked where there is no target.
    """
    if spec.target is None:
        return uniform(rankings, ratio=spec.ratio, round_to=spec.round_to), None
    target = read_target(spec.target)
    with spinner(f"prune: look for {target}"):
        cost = {"latency": candidates.latency, "size": candidates.size, "parameters": candidates.parameters}[target.of]
        solved = solve(
            rankings,
            cost,
            limit=limit_of(target, candidates),
            round_to=spec.round_to,
            whole=whole_cost(cost, candidates),
        )
    return solved.shape, Reached(
        target=str(target),
        of=target.of,
        ratio=solved.cost,
        holds=solved.reached,
        dense_ms=candidates.dense_ms if target.of == "latency" else None,
        tried=solved.tried,
    )


def limit_of(target: Target, candidates: Candidates) -> float:
    """What a shape may cost, relative to the dense network."""
    return target.amount / candidates.dense_ms if target.absolute else target.amount


def whole_cost(cost: Callable[[Shape], float], candidates: Candidates) -> float:
    """What a network costs with all its channels, relative to the dense one; that is known of the dense one itself."""
    if candidates.whole is None:
        return 1.0
    return cost({name: ranking.channels for name, ranking in candidates.rankings.items()})
