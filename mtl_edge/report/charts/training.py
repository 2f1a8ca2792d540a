"""How the networks learned: each task's first metric on the validation samples, epoch by epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair

from mtl_edge.report.charts.paint import WIDTH, Paint, by_series, to_svg, values
from mtl_edge.report.document import EpochRecord
from mtl_edge.tasks import Task

_HEIGHT = 130


@dataclass(frozen=True)
class Curve:
    """One task's picture."""

    task: str
    metric: str
    svg: str


def curves(
    training: Mapping[str, Sequence[EpochRecord]], tasks: Sequence[Task], names: Sequence[str], paint: Paint
) -> list[Curve]:
    """A picture for each task, a line for each network that has it; ``names`` are those that colours go by."""
    found = []
    for task in tasks:
        metric = task.metrics[0]
        rows = []
        for network, records in training.items():
            for epoch, record in enumerate(records, 1):
                if task.name in record.metrics:
                    value = record.metrics[task.name][metric.name]
                    text = f"{network}, epoch {epoch}: {metric.title} {metric.format(value)}"
                    rows.append({"model": network, "epoch": epoch, "value": value, "text": text})
        if not rows:
            continue
        y = altair.Y("value:Q").title(None).scale(zero=False, reverse=not metric.higher_is_better)
        base = altair.Chart(values(rows)).encode(
            x=altair.X("epoch:Q").axis(grid=False, tickCount=6, format="d", tickMinStep=1),
            y=y.axis(format="~%" if metric.unit == "share" else "~g", tickCount=4),
            color=altair.Color("model:N").scale(by_series(names, paint)).legend(None),
        )
        line = base.mark_line(strokeWidth=1.5, aria=False)
        points = base.mark_point(filled=True, size=16, opacity=1).encode(description="text:N")
        picture = altair.layer(line, points).properties(width=WIDTH, height=_HEIGHT)
        found.append(Curve(task.name, metric.title, to_svg(picture, paint)))
    return found
