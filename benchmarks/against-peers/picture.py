"""The frontier as a picture: what the task that fares worst loses, against latency, of every model of one network."""

import io
from pathlib import Path

import altair
from goals import HARMLESS
from results import Measured, Point, frontier

from mtl_edge.storage import write_atomically

_MOST = 5.0
"""Losses beyond are drawn at the edge: what is lost so far is of no use, however far."""
_SHAPES = {"int8 alone": "circle", "pruned": "diamond"}


def draw(measured: Measured, file: Path) -> None:
    """Write an SVG; ``pip install vl-convert-python`` brings what turns charts into it."""
    drawn = io.StringIO()
    _chart(measured).save(drawn, format="svg")
    write_atomically(file, drawn.getvalue())


def _chart(measured: Measured) -> altair.LayerChart | altair.FacetChart:
    points = measured.points()
    tools = list(dict.fromkeys(point.row.tool for point in points))
    data = altair.InlineData(values=[_drawn(point) for point in points])
    best = altair.InlineData(values=[_drawn(point) for point in frontier(points)])
    x = altair.X("ratio:Q").scale(type="log", nice=False, padding=20).title("latency, over that of dense fp32 (log)")
    low = min(-0.5, *(point.worst for point in points))
    y = altair.Y("loss:Q").scale(domain=[low, _MOST], nice=False).title("loss of the worst task, points or %")
    marks = altair.Chart(data).mark_point(filled=True, size=70, opacity=0.8)
    marks = marks.encode(
        x=x,
        y=y,
        color=altair.Color("tool:N")
        .sort(None)
        .scale(domain=tools, scheme="tableau10")
        .legend(labelLimit=0)
        .title(None),
        shape=altair.Shape("kind:N").scale(domain=list(_SHAPES), range=list(_SHAPES.values())).title(None),
    )
    line = altair.Chart(best).mark_line(interpolate="step-after", color="gray", strokeDash=[4, 3]).encode(x=x, y=y)
    budget = altair.Chart(altair.InlineData(values=[{"loss": HARMLESS}])).mark_rule(color="gray", opacity=0.5)
    return altair.layer(budget.encode(y=y), line, marks).properties(
        width=640,
        height=360,
        title=measured.network,
        background="white",
        padding={"left": 5, "top": 5, "right": 60, "bottom": 5},
    )


def _drawn(point: Point) -> dict[str, object]:
    kind = "pruned" if point.row.kind == "pruned" else "int8 alone"
    return {"tool": point.row.tool, "kind": kind, "ratio": point.ratio.median, "loss": min(point.worst, _MOST)}
