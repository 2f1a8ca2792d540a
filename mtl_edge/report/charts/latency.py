"""How latencies are distributed: every raw sample counts, one row per model, all on one logarithmic axis."""

from dataclasses import dataclass
from typing import Any

import altair
import numpy as np

from mtl_edge.bench.latency import Point
from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.report.charts.paint import WIDTH, Paint, by_series, to_svg, values
from mtl_edge.report.points import point_titles

_BINS = 72
_ROW = 50
_SHARE = (0.1, 99.5)
"""Per cent of the samples between which the axis lies."""


@dataclass(frozen=True)
class Distribution:
    """A picture for one point of the sweep."""

    point: str
    svg: str


def distributions(benchmark: Benchmark, results: tuple[Result, ...], paint: Paint) -> list[Distribution]:
    """A picture for each point of the sweep."""
    return [
        Distribution(title, to_svg(_picture(benchmark, results, point, title, paint), paint))
        for point, title in point_titles(benchmark).items()
    ]


def _picture(benchmark: Benchmark, results: tuple[Result, ...], point: Point, title: str, paint: Paint) -> Any:
    samples = {result.name: np.array(result.latency(point).samples_ms) for result in results}
    ends = np.array([np.percentile(found, _SHARE) for found in samples.values()])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    edges = np.geomspace(low * 0.97, max(high, low * 1.05) * 1.03, _BINS + 1)
    hills, marks = [], []
    for row, result in enumerate(results):
        found = samples[result.name]
        counts, _ = np.histogram(found, edges)
        smooth = np.convolve(counts, [0.25, 0.5, 0.25], mode="same")
        foot = float(row + 1)
        for start, rise in zip(edges[:-1] * np.sqrt(edges[1] / edges[0]), smooth / smooth.max(), strict=True):
            hills.append(
                {"model": result.name, "ms": float(f"{start:.5g}"), "top": round(foot - 0.6 * rise, 3), "foot": foot}
            )
        latency = result.latency(point)
        low_ms, high_ms = latency.p50_interval_ms
        shares = [("p90", latency.p90_ms), ("p99", latency.p99_ms)]
        known = [f"{name} {value:.3f} ms" for name, value in shares if value is not None]
        text = ", ".join(
            [
                f"{result.name}, {title}: p50 {latency.p50_ms:.3f} ms (99 % interval {low_ms:.3f} to {high_ms:.3f})",
                *known,
                f"{len(found):,} samples in {len(latency.rounds_ms)} rounds",
            ]
        )
        marks.append(
            {
                "model": result.name,
                "p50": latency.p50_ms,
                "p90": latency.p90_ms if latency.p90_ms is not None else latency.p50_ms,
                "foot": foot,
                "middle": foot - 0.3,
                "name": foot - 0.82,
                "top": foot - 0.62,
                "text": text,
                "short": f"{latency.p50_ms:.3f} ms",
            }
        )
    scale = altair.Scale(type="log", domain=[float(edges[0]), float(edges[-1])], nice=False)
    ticks = _ticks(float(edges[0]), float(edges[-1]))
    axis = altair.Axis(grid=True, values=ticks, format="~g", title="latency, ms")
    y = altair.Scale(domain=[0, len(results)], reverse=True, nice=False)

    def height(field: str) -> altair.Y:
        return altair.Y(f"{field}:Q").scale(y).axis(None)

    color = altair.Color("model:N").scale(by_series([result.name for result in benchmark.results], paint)).legend(None)
    hill = (
        altair.Chart(values(hills))
        .mark_area(opacity=0.75, line=False, aria=False)
        .encode(x=altair.X("ms:Q").scale(scale).axis(axis), y=height("top"), y2="foot:Q", color=color, detail="model:N")
    )
    base = altair.Chart(values(marks))
    median = base.mark_rule(stroke=paint.ink, strokeWidth=1.5, aria=False).encode(
        x=altair.X("p50:Q").scale(scale), y=height("top"), y2="foot:Q"
    )
    late = base.mark_rule(stroke=paint.ink, strokeWidth=1, strokeDash=[2, 2], aria=False).encode(
        x=altair.X("p90:Q").scale(scale), y=height("middle"), y2="foot:Q"
    )
    name = base.mark_text(align="left", baseline="middle", fontSize=11, fill=paint.ink, aria=False).encode(
        x=altair.value(0), y=height("name"), text="model:N"
    )
    figure = base.mark_text(align="right", baseline="middle", fontSize=11, fill=paint.faint, aria=False).encode(
        x=altair.value(WIDTH + 30), y=height("name"), text="short:N"
    )
    row = base.mark_rect(opacity=0, fill=paint.ink).encode(
        x=altair.value(0), x2=altair.value(WIDTH + 30), y=height("name"), y2="foot:Q", description="text:N"
    )
    return altair.layer(hill, median, late, name, figure, row).properties(width=WIDTH + 30, height=_ROW * len(results))


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers on a logarithmic axis, the more of each decade the shorter it is."""
    ratio = high / low
    steps = (
        (1.0, 2.0, 5.0)
        if ratio > 20
        else (1.0, 2.0, 3.0, 5.0, 7.0)
        if ratio > 3
        else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    )
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    found = [float(f"{step * 10.0**power:.3g}") for power in powers for step in steps]
    return [tick for tick in found if low <= tick <= high]
