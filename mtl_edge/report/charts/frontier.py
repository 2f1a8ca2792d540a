"""Each task's metric against what it costs: up is always better, and so is left."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair

from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.report.charts.paint import HEIGHT, WIDTH, Paint, by_series, by_shape, to_svg, values
from mtl_edge.report.points import point_titles
from mtl_edge.report.table import tasks_of, value_of
from mtl_edge.report.verdicts import budget_of, chosen
from mtl_edge.tasks import Metric, Task

Against = Literal["latency", "size", "memory"]
AGAINST: tuple[Against, ...] = ("latency", "size", "memory")
_LEAST_SPAN = {"share": 0.01, "error": 0.02, "score": 0.02}
"""What the axis of a metric spans at least: a point, or that share of the base; less would show noise as if it were
something."""
_PER_ROW = 3


@dataclass(frozen=True)
class Panel:
    """One task's picture, and what is said of it; ``turned`` where low values are up."""

    task: str
    metric: str
    turned: bool
    against: Against
    svg: str


def frontier(benchmark: Benchmark, paint: Paint) -> list[Panel]:
    """A picture for each task and each kind of cost; none without metrics."""
    measured = [result for result in benchmark.results if result.metrics]
    return [
        Panel(
            task.name,
            task.metrics[0].title,
            not task.metrics[0].higher_is_better,
            against,
            to_svg(_panel(benchmark, task, against, measured, paint), paint),
        )
        for against in AGAINST
        for task in tasks_of(benchmark)
    ]


def frontier_svg(benchmark: Benchmark, paint: Paint) -> str:
    """All tasks against latency in one picture, with a legend."""
    measured = [result for result in benchmark.results if result.metrics]
    panels = [
        _panel(benchmark, task, "latency", measured, paint, legend=True).properties(
            title=f"{task.name}: {_title(task.metrics[0])}"
        )
        for task in tasks_of(benchmark)
    ]
    return to_svg(altair.concat(*panels, columns=_PER_ROW, spacing=28), paint)


def cost(benchmark: Benchmark, result: Result, against: Against) -> float:
    """What is on the horizontal axis: milliseconds, KiB or MiB."""
    match against:
        case "latency":
            return result.latency(benchmark.points[0]).p50_ms
        case "size":
            return result.file_bytes / 1024
        case "memory":
            return result.peak_rss_bytes / 2**20


def _panel(
    benchmark: Benchmark,
    task: Task,
    against: Against,
    results: Sequence[Result],
    paint: Paint,
    *,
    legend: bool = False,
) -> Any:
    metric = task.metrics[0]
    rows = _rows(benchmark, task, against, results)
    names = [result.name for result in benchmark.results]
    bound = _limit(benchmark, task)
    y = (
        altair.Y("value:Q")
        .title(None)
        .scale(
            domain=_domain(metric, [row["value"] for row in rows], bound),
            reverse=not metric.higher_is_better,
            nice=False,
        )
    )
    y = y.axis(format=".1%" if metric.unit == "share" else "~g", tickCount=5)
    x = altair.X("cost:Q").title(_axis(benchmark, against)).scale(zero=True, padding=10, nice=True)
    base = altair.Chart(values(rows)).encode(x=x.axis(grid=False, tickCount=5), y=y)
    key = altair.Legend(title=None, columns=4) if legend else None
    points = base.mark_point(filled=True, size=95, opacity=1).encode(
        color=altair.Color("model:N").scale(by_series(names, paint)).legend(key),
        shape=altair.Shape("model:N").scale(by_shape(names)).legend(key),
        description="text:N",
    )
    layers = []
    if bound is not None:
        worst = altair.Chart(values([{"value": bound, "text": f"budget {budget_of(benchmark, task)}"}])).encode(y=y)
        layers += [
            worst.mark_rule(stroke=paint.ink, strokeDash=[4, 3], strokeWidth=1, aria=False),
            worst.mark_text(align="left", dx=1, dy=-6, fontSize=11, fill=paint.faint, aria=False).encode(
                x=altair.value(0), text="text:N"
            ),
        ]
    edge = _edge(rows, metric)
    line = altair.Chart(values(edge)).encode(x=x.axis(grid=False, tickCount=5), y=y, order="cost:Q")
    layers.append(line.mark_line(stroke=paint.faint, strokeWidth=1, interpolate="step-after", opacity=0.6, aria=False))
    best = chosen(benchmark)
    ring = [row for row in rows if best is not None and row["model"] == best.name]
    if ring:
        layers.append(
            altair.Chart(values(ring))
            .mark_point(filled=False, shape="circle", size=380, stroke=paint.ink, strokeWidth=1.5, aria=False)
            .encode(x=x.axis(grid=False, tickCount=5), y=y)
        )
    return altair.layer(*layers, points).properties(width=WIDTH, height=HEIGHT)


def _rows(benchmark: Benchmark, task: Task, against: Against, results: Sequence[Result]) -> list[dict[str, Any]]:
    metric = task.metrics[0]
    rows = []
    for result in results:
        value = value_of(result, task, metric)
        if value is not None:
            spent = cost(benchmark, result, against)
            text = f"{result.name}: {metric.title} {metric.format(value)}, {_shown(spent, against)}"
            rows.append({"model": result.name, "value": value, "cost": spent, "text": text})
    return rows


def _edge(rows: Sequence[dict[str, Any]], metric: Metric) -> list[dict[str, Any]]:
    """What nothing cheaper is as good as: the Pareto front."""
    front: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: row["cost"]):
        if not front or metric.gain(row["value"], front[-1]["value"]) > 0:
            front.append({"cost": row["cost"], "value": row["value"]})
    return front


def _limit(benchmark: Benchmark, task: Task) -> float | None:
    metric, budget = task.metrics[0], budget_of(benchmark, task)
    base = value_of(benchmark.base_result, task, metric)
    return None if budget is None or base is None else budget.limit(metric, base)


def _domain(metric: Metric, found: Sequence[float], bound: float | None) -> list[float]:
    """From the lowest to the highest value, with some air, and not less than what is more than noise."""
    low, high = (
        min([*found, *([bound] if bound is not None else [])]),
        max(found) if bound is None else max(*found, bound),
    )
    least = _LEAST_SPAN[metric.unit] * (1.0 if metric.unit == "share" else max(abs(low), abs(high)))
    middle, span = (low + high) / 2, max(high - low, least) * 1.3
    return [middle - span / 2, middle + span / 2]


def _axis(benchmark: Benchmark, against: Against) -> str:
    match against:
        case "latency":
            return f"latency p50, ms ({point_titles(benchmark)[benchmark.points[0]]})"
        case "size":
            return "file, KiB"
        case "memory":
            return "peak memory, MiB"


def _shown(spent: float, against: Against) -> str:
    return {"latency": f"{spent:.3f} ms", "size": f"{spent:.0f} KiB", "memory": f"{spent:.1f} MiB"}[against]


def _title(metric: Metric) -> str:
    return metric.title if metric.higher_is_better else f"{metric.title} (lower is better)"
