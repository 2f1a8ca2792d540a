"""Stage by stage: what each step from one model to the next gave, and what it took."""

from dataclasses import dataclass

from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.report.points import point_titles
from mtl_edge.report.table import Cell, Table, value_of

_CLEAR = 0.005
"""Sizes and memory that differ by less are called the same."""


@dataclass(frozen=True)
class Step:
    """From a parent to its child: changes that are gains, changes that are losses, and those that are neither.

    ``name`` is what was done, which is more than one step where a network between them is no result.
    """

    name: str
    parent: Result
    child: Result
    gave: tuple[str, ...]
    took: tuple[str, ...]
    neither: tuple[str, ...]


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


def steps_table(benchmark: Benchmark) -> Table | None:
    """A row for each step; None where there is none."""
    rows = tuple(
        (
            Cell(step.name),
            Cell(f"{step.parent.name} → {step.child.name}"),
            *(Cell("\n".join(lines) or "-") for lines in (step.gave, step.took, step.neither)),
        )
        for step in steps(benchmark)
    )
    columns = ("step", "from → to", "gave", "took", "neither")
    return Table("Step by step", columns, rows, prose=True, names=2) if rows else None


def _step(parent: Result, child: Result, benchmark: Benchmark) -> Step:
    gave: list[str] = []
    took: list[str] = []
    neither: list[str] = []
    first = benchmark.points[0]
    for point, title in point_titles(benchmark).items():
        if (point.batch, point.dims) != (first.batch, first.dims):
            continue  # of a sweep, the first size stands for all
        ratio = benchmark.ratio(child, point, parent)
        line = f"latency {ratio.median:.2f}x, {title}"
        {"faster": gave, "SLOWER": took}.get(ratio.verdict, neither).append(line)
    for name, mine, theirs in (
        ("file", child.file_bytes, parent.file_bytes),
        ("memory of the model", child.model_rss_bytes, parent.model_rss_bytes),
    ):
        change = mine / theirs
        place = neither if abs(change - 1) < _CLEAR else gave if change < 1 else took
        place.append(f"{name} {change:.2f}x")
    for task in child.tasks:
        metric = task.metrics[0]
        after, before = value_of(child, task, metric), value_of(parent, task, metric)
        if after is None or before is None:
            continue
        gain = metric.gain(after, before)
        place = gave if gain > 0 else took if gain < 0 else neither
        place.append(f"{task.name} {metric.title} {metric.change(after, before)}")
    names = dict.fromkeys(
        name
        for mine, theirs in zip(child.manifests, parent.manifests, strict=True)
        for name in mine.lineage.steps[len(theirs.lineage.steps) :] or mine.lineage.steps[-1:]
    )
    return Step(", ".join(names), parent, child, tuple(gave), tuple(took), tuple(neither))
