"""What the peak of memory is made of: a bar per model, its parts stacked."""

from collections.abc import Mapping, Sequence

import altair

from mtl_edge.report.charts.paint import WIDTH, Paint, to_svg, values

_ROW = 40


def memory(parts: Mapping[str, Mapping[str, float]], paint: Paint, *, unit: str = "MiB") -> str:
    """The picture, of model -> part -> amount; parts are stacked in the order of the first model."""
    kinds = list(next(iter(parts.values())))
    colours = [paint.line, *paint.series] if len(kinds) > 1 else [paint.series[0]]
    bars, names = [], []
    for row, (model, amounts) in enumerate(parts.items()):
        start = 0.0
        names.append({"model": model, "name": row + 0.28, "total": f"{_figure(sum(amounts.values()))} {unit}"})
        for kind, amount in amounts.items():
            bars.append(
                {
                    "kind": kind,
                    "start": start,
                    "end": start + amount,
                    "top": row + 0.5,
                    "foot": row + 0.85,
                    "text": f"{model}: {kind} {_figure(amount)} {unit}",
                }
            )
            start += amount
    y = altair.Scale(domain=[0, len(parts)], reverse=True, nice=False)

    def height(field: str) -> altair.Y:
        return altair.Y(f"{field}:Q").scale(y).axis(None)

    scale = altair.Scale(domain=kinds, range=colours[: len(kinds)])
    bar = (
        altair.Chart(values(bars))
        .mark_rect(stroke=paint.paper, strokeWidth=1)
        .encode(
            x=altair.X("start:Q").title(unit).axis(tickCount=5, grid=False).scale(zero=True, nice=False),
            x2="end:Q",
            y=height("top"),
            y2="foot:Q",
            color=altair.Color("kind:N").scale(scale).legend(None),
            description="text:N",
        )
    )
    base = altair.Chart(values(names))
    name = base.mark_text(align="left", baseline="middle", fontSize=11, fill=paint.ink, aria=False).encode(
        x=altair.value(0), y=height("name"), text="model:N"
    )
    total = base.mark_text(align="right", baseline="middle", fontSize=11, fill=paint.faint, aria=False).encode(
        x=altair.value(WIDTH + 30), y=height("name"), text="total:N"
    )
    picture = altair.layer(bar, name, total).properties(width=WIDTH + 30, height=_ROW * len(parts))
    return to_svg(picture, paint)


def swatches(parts: Sequence[str], paint: Paint) -> dict[str, str]:
    """Part -> its colour, for a legend."""
    return dict(zip(parts, [paint.line, *paint.series], strict=False))


def _figure(amount: float) -> str:
    return f"{amount:.3f}" if amount < 1 else f"{amount:.1f}"
