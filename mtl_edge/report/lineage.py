"""Stage by stage: what each step from one model to the next gave, and what it took."""

from dataclasses import dataclass

from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.report.points import point_titles

_CLEAR = 0.005
"""Sizes and memory that differ by less are called the same."""


@dataclass(frozen=True)
class Step:
    """From a parent to its child; ``gave`` and ``took`` are sentences of one change each, ``same`` what did not move."""

    name: str
    parent: Result
    child: Result
    gave: tuple[str, ...]
    took: tuple[str, ...]
    same: tuple[str, ...]


def steps(benchmark: Benchmark) -> list[Step]:
    """Every step between two models that were both measured, in the order of the results."""
    by_hash = {tuple(m.sha256 for m in result.manifests): result for result in benchmark.results if result.manifests}
    found = []
    for child in benchmark.results:
        parents = tuple(manifest.lineage.parent_sha256 for manifest in child.manifests)
        parent = by_hash.get(parents) if parents and all(parents) else None  # type: ignore[arg-type]
        if parent is not None:
            found.append(_step(parent, child, benchmark))
    return found


def _step(parent: Result, child: Result, benchmark: Benchmark) -> Step:
    gave: list[str] = []
    took: list[str] = []
    same: list[str] = []
    for point, title in point_titles(benchmark).items():
        ratio = benchmark.ratio(child, point, parent)
        line = f"latency {ratio.median:.2f}x, {title}"
        {"faster": gave, "SLOWER": took}.get(ratio.verdict, same).append(line)
    for name, mine, theirs in (
        ("file", child.file_bytes, parent.file_bytes),
        ("memory of the model", child.model_rss_bytes, parent.model_rss_bytes),
    ):
        change = mine / theirs
        place = same if abs(change - 1) < _CLEAR else gave if change < 1 else took
        place.append(f"{name} {change:.2f}x")
    for task in child.tasks:
        metric = task.metrics[0]
        after, before = (child.metrics or {}).get(task.name), (parent.metrics or {}).get(task.name)
        if after is None or before is None:
            continue
        gain = metric.gain(after[metric.name], before[metric.name])
        place = gave if gain > 0 else took if gain < 0 else same
        place.append(f"{task.name} {metric.title} {metric.change(after[metric.name], before[metric.name])}")
    names = dict.fromkeys(manifest.lineage.steps[-1] for manifest in child.manifests if manifest.lineage.steps)
    return Step(", ".join(names), parent, child, tuple(gave), tuple(took), tuple(same))
