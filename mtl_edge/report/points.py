"""How the points of a sweep are called in a report."""

from mtl_edge.bench.latency import Point
from mtl_edge.bench.results import Benchmark


def point_titles(benchmark: Benchmark) -> dict[Point, str]:
    """Each point's short name: what all points have in common goes without saying."""
    points = benchmark.points
    same_batch = len({point.batch for point in points}) == 1
    same_dims = len({point.dims for point in points}) == 1
    return {point: _title(point, batch=not same_batch, dims=not same_dims) for point in points}


def _title(point: Point, *, batch: bool, dims: bool) -> str:
    parts = [f"{point.threads} thread{'s' * (point.threads > 1)}"]
    parts += [f"batch {point.batch}"] if batch else []
    parts += [f"{name} {size}" for name, size in point.dims] if dims else []
    return ", ".join(parts)
