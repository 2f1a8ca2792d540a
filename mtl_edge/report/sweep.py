"""The picture of a benchmark: latency over the sizes that were swept, or each model's latencies."""

import io
from typing import Any

import altair
import vl_convert

from mtl_edge.bench.bootstrap import percentile
from mtl_edge.bench.latency import Point
from mtl_edge.bench.results import Benchmark
from mtl_edge.report.charts.paint import FILE

_WIDTH, _HEIGHT = 300, 220
_PNG_SCALE = 2
_INK = FILE.ink


def draw(benchmark: Benchmark, form: str) -> bytes:
    """The picture as a file of this ending: ``.svg``, ``.png`` or ``.html``, which needs nothing but itself."""
    picture = chart(benchmark)
    match form:
        case ".svg":
            return str(vl_convert.vegalite_to_svg(picture.to_dict())).encode()
        case ".png":
            return bytes(vl_convert.vegalite_to_png(picture.to_dict(), scale=_PNG_SCALE))
        case _:
            page = io.StringIO()
            picture.save(page, format="html", inline=True)
            return page.getvalue().encode()


def chart(benchmark: Benchmark) -> altair.FacetChart:
    """p50 with its 99 % interval, over the first size that was swept; a panel for each combination of what else was."""
    varied = _varied(benchmark)
    swept = next((name for name in varied if name != "threads"), None)
    panels = [name for name in varied if name != swept]
    rows = [
        {
            "model": result.name,
            "panel": ", ".join(f"{name} {_sizes(latency.point)[name]}" for name in panels),
            "size": _sizes(latency.point)[swept] if swept else 0,
            "least": round(min(latency.samples_ms), 5),
            "low": round(latency.p50_interval_ms[0], 5),
            "p50": round(latency.p50_ms, 5),
            "high": round(latency.p50_interval_ms[1], 5),
            "p90": round(percentile(latency.samples_ms, 90), 5),
        }
        for result in benchmark.results
        for latency in result.latencies
    ]
    picture = _lines(swept, sorted({row["size"] for row in rows})) if swept else _marks()
    faceted = picture.facet(
        facet=altair.Facet("panel:N").title(None).sort(None), columns=2, data=altair.InlineData(values=rows)
    )
    ink: dict[str, Any] = {"labelColor": _INK, "titleColor": _INK}
    axis: dict[str, Any] = {**ink, "gridColor": f"{_INK}40", "domainColor": _INK, "tickColor": _INK}
    styled: altair.FacetChart = (
        faceted.configure_axis(**axis)
        .configure_header(labelColor=_INK)
        .configure_legend(**ink, orient="bottom")
        .configure_view(stroke=None)
    )
    return styled


def _lines(swept: str, sizes: list[Any]) -> altair.LayerChart | altair.FacetChart:
    base = altair.Chart().encode(
        x=altair.X("size:Q").title(swept).axis(values=sizes),
        color=altair.Color("model:N").title("model").sort(None),
        tooltip=["model:N", "size:Q", "p50:Q", "low:Q", "high:Q"],
    )
    band = base.mark_area(opacity=0.2).encode(y=altair.Y("low:Q").title("latency p50, ms"), y2="high:Q")
    line = base.mark_line(point=True).encode(y=altair.Y("p50:Q"))
    return altair.layer(band, line).properties(width=_WIDTH, height=_HEIGHT)


def _marks() -> altair.LayerChart | altair.FacetChart:
    """Each model's median as a tick in its interval, on a line from the least sample to p90."""
    base = altair.Chart().encode(
        y=altair.Y("model:N").title(None).sort(None),
        color=altair.Color("model:N").legend(None).sort(None),
        tooltip=["model:N", "least:Q", "low:Q", "p50:Q", "high:Q", "p90:Q"],
    )
    samples = base.mark_rule().encode(x=altair.X("least:Q").title("latency, ms: least, p50, p90"), x2="p90:Q")
    interval = base.mark_bar(height=10, opacity=0.4).encode(x=altair.X("low:Q"), x2="high:Q")
    median = base.mark_tick(thickness=3).encode(x=altair.X("p50:Q"))
    return altair.layer(samples, interval, median).properties(width=_WIDTH)


def _varied(benchmark: Benchmark) -> list[str]:
    """What has several values, sizes before threads."""
    points = [_sizes(point) for point in benchmark.points]
    return [name for name in points[0] if len({sizes[name] for sizes in points}) > 1]


def _sizes(point: Point) -> dict[str, int]:
    return {"batch": point.batch, **dict(point.dims), "threads": point.threads}
