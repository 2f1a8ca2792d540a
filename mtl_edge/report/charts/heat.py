"""The damage matrix as a heat map: a row for each layer, a column for each output, the worst layers first."""

from typing import Any

import altair

from mtl_edge.quantize.damage import DamageMatrix
from mtl_edge.report.charts.paint import Paint, to_svg, values

_COLUMN, _ROW = 52, 22
_NOISE_DB = (20.0, 30.0, 40.0, 50.0)
_GAIN_DB = (0.5, 1.0, 3.0, 6.0)


def damage_svg(matrix: DamageMatrix, paint: Paint, *, most: int | None = None) -> str:
    """Side by side: a layer alone in int8, and all but that layer."""
    panels = damage_panels(matrix, paint, most=most)
    return to_svg(altair.hconcat(*(panel.properties(title=title) for title, panel in panels.items())), paint)


def damage_panels(matrix: DamageMatrix, paint: Paint, *, most: int | None = None) -> dict[str, Any]:
    """Title -> heat map; of the worst layers only, where there are more than ``most``."""
    outputs = list(matrix.everything.noise_db)
    layers = matrix.layers[:most]
    rows = [
        {
            "layer": row.layer,
            "output": output,
            "noise": round(row.alone.noise_db[output], 1),
            "gain": round(gain, 1),
            "alone": f"{row.layer} alone in int8: {output} {row.alone.noise_db[output]:.1f} dB",
            "others": f"all but {row.layer} in int8: {output} gains {gain:+.1f} dB",
        }
        for row in layers
        for output, gain in row.relief_db(matrix.everything).items()
        if output in row.serves
    ]
    base = altair.Chart(values(rows)).encode(
        x=altair.X("output:N").title(None).sort(outputs).axis(orient="top", labelAngle=-30, grid=False),
        y=altair.Y("layer:N").title(None).sort([row.layer for row in layers]).axis(grid=False, labelLimit=150),
    )
    size = {"width": _COLUMN * len(outputs), "height": _ROW * len(layers)}
    panels = {}
    for title, field, text, bounds, colours in (
        ("alone in int8: signal to noise, dB", "noise", "alone", _NOISE_DB, paint.heat[::-1]),
        ("all others in int8: gain, dB", "gain", "others", _GAIN_DB, paint.heat),
    ):
        scale = altair.Scale(type="threshold", domain=list(bounds), range=list(colours))
        squares = base.mark_rect(stroke=paint.paper, strokeWidth=1).encode(
            color=altair.Color(f"{field}:Q").scale(scale).legend(None), description=f"{text}:N"
        )
        figures = base.mark_text(fontSize=11, fill=paint.ink, aria=False).encode(
            text=altair.Text(f"{field}:Q", format=".0f")
        )
        panels[title] = (squares + figures).properties(**size)
    return panels
