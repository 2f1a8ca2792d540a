"""How pictures are painted: colours, sizes of letters, and the way from Vega-Lite to SVG."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair
import vl_convert

WIDTH, HEIGHT = 280, 190
"""Of a picture's inner part in pixels; with its axes it is as wide as a phone's page."""

_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


@dataclass(frozen=True)
class Paint:
    """Colours; ``series`` tell models apart, and ``heat`` goes from harmless to bad."""

    ink: str
    faint: str
    line: str
    paper: str
    series: tuple[str, ...]
    heat: tuple[str, ...]


PAGE = Paint(
    ink="var(--ink)",
    faint="var(--faint)",
    line="var(--line)",
    paper="var(--paper)",
    series=tuple(f"var(--series-{index})" for index in range(8)),
    heat=tuple(f"var(--heat-{index})" for index in range(5)),
)
"""The page's own variables, which it changes from light to dark."""

FILE = Paint(
    ink="#7f8790",
    faint="#7f8790",
    line="#7f879040",
    paper="transparent",
    series=("#2f81c4", "#d9622b", "#0b9e75", "#b05aa0", "#b08a10", "#4a5bd0", "#c2466b", "#6b7f3a"),
    heat=("#7f879022", "#f6c99f", "#ee9a5c", "#dd6a2c", "#b5410f"),
)
"""For a file of its own: reads well on white and on black."""


def shape(index: int) -> str:
    """The form of a series' points, so that nobody needs to see colours."""
    return _SHAPES[index % len(_SHAPES)]


def by_series(names: Sequence[str], paint: Paint) -> altair.Scale:
    """The scale from names, in their order, to colours."""
    return altair.Scale(domain=list(names), range=[paint.series[i % len(paint.series)] for i in range(len(names))])


def by_shape(names: Sequence[str]) -> altair.Scale:
    """The scale from names, in their order, to the forms of points."""
    return altair.Scale(domain=list(names), range=[shape(index) for index in range(len(names))])


def values(rows: Sequence[dict[str, Any]]) -> altair.InlineData:
    """Rows as data inside of the picture: one string, because Altair copies everything else at each step."""
    return altair.InlineData(values=json.dumps(list(rows)), format=altair.JsonDataFormat(type="json"))


def to_svg(picture: Any, paint: Paint) -> str:
    """The picture as SVG, with thin lines and small letters."""
    axis = {
        "labelColor": paint.faint,
        "titleColor": paint.faint,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "gridColor": paint.line,
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
        "titlePadding": 8,
    }
    styled = (
        picture.configure(background="transparent", padding=2)
        .configure_axis(**axis)
        .configure_title(color=paint.ink, fontSize=12, anchor="start", offset=10)
        .configure_legend(labelColor=paint.ink, titleColor=paint.faint, orient="bottom")
        .configure_view(stroke=None)
    )
    svg: str = vl_convert.vegalite_to_svg(styled.to_dict(validate=False))
    return svg
