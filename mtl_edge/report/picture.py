"""The picture: each task's metric against latency, the size of the file as the size of the point."""

from typing import Any

import altair
import vl_convert

from mtl_edge.bench.results import Benchmark

INK = "#7f8790"
"""Reads well on white and on black."""
_PANELS_PER_ROW = 3


def chart(benchmark: Benchmark) -> altair.ConcatChart:
    """One panel per task; models are told apart by colour."""
    threads = benchmark.threads[0]
    rows = _rows(benchmark, threads)
    panels = []
    for task, title in dict.fromkeys((row["task"], row["metric"]) for row in rows):
        base = altair.Chart(altair.InlineData(values=[row for row in rows if row["task"] == task])).encode(
            x=altair.X("latency:Q").title(f"latency p50, ms ({threads} thread)").scale(zero=True),
            y=altair.Y("value:Q").title(title).scale(zero=False, padding=16),
            tooltip=["model:N", "latency:Q", "value:Q", "size:Q", "ratio:Q"],
        )
        points = base.mark_circle(opacity=0.85).encode(
            color=altair.Color("model:N").title("model").sort(None),
            size=altair.Size("size:Q").title("file, KiB").scale(range=[80, 900], zero=True),
        )
        panels.append(points.properties(title=task, width=250, height=230))
    picture = altair.concat(*panels, columns=_PANELS_PER_ROW, background="transparent").resolve_scale(
        size="shared", color="shared"
    )
    axis = {"labelColor": INK, "titleColor": INK, "gridColor": f"{INK}40", "domainColor": INK, "tickColor": INK}
    styled: altair.ConcatChart = (
        picture.configure_axis(**axis)
        .configure_title(color=INK)
        .configure_legend(labelColor=INK, titleColor=INK, symbolStrokeColor=INK, orient="bottom")
        .configure_view(stroke=None)
    )
    return styled


def to_svg(picture: altair.ConcatChart | altair.HConcatChart) -> str:
    """The picture alone, as SVG."""
    svg: str = vl_convert.vegalite_to_svg(picture.to_dict())
    return svg


def javascript() -> str:
    """What a page needs to draw a picture without asking the network."""
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # the stub lacks the default
    return bundle


def _rows(benchmark: Benchmark, threads: int) -> list[dict[str, Any]]:
    rows = []
    for result in benchmark.results:
        if result.metrics is None:
            continue
        for task in result.tasks:
            metric = task.metrics[0]
            value = result.metrics[task.name][metric.name]
            shown, sign = (100 * value, ", %") if metric.unit == "share" else (value, "")
            rows.append(
                {
                    "model": result.name,
                    "task": task.name,
                    "metric": metric.title + sign + ("" if metric.higher_is_better else " (lower is better)"),
                    "value": round(shown, 4),
                    "latency": round(result.latency(threads).p50_ms, 4),
                    "ratio": round(benchmark.ratio(result, threads).median, 3),
                    "size": round(result.file_bytes / 1024),
                }
            )
    return rows
