"""The report as one page that needs nothing but itself."""

import json

import altair
import jinja2

from mtl_edge.report.document import RunReport
from mtl_edge.report.outcomes import outcome_tables, outcome_warnings
from mtl_edge.report.picture import javascript
from mtl_edge.report.sharing import sharing_tables
from mtl_edge.report.table import comparison, slower_than_base
from mtl_edge.report.terminal import caption


def to_html(report: RunReport, picture: altair.ConcatChart) -> str:
    """Table, picture, training and lineage; light or dark as the reader's system is."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mtl_edge.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        report=report,
        tables=[*comparison(report.benchmark), *sharing_tables(report.benchmark), *outcome_tables(report.quantized)],
        warnings=[*slower_than_base(report.benchmark), *outcome_warnings(report.quantized)],
        caption=caption(report.benchmark),
        javascript=javascript().replace("</script", "<\\/script"),
        picture=json.dumps(picture.to_dict()).replace("<", "\\u003c"),
    )
