"""The report for pull requests."""

from mtl_edge.report.document import RunReport
from mtl_edge.report.outcomes import outcome_tables, outcome_warnings
from mtl_edge.report.sharing import sharing_tables
from mtl_edge.report.table import Cell, comparison, slower_than_base
from mtl_edge.report.terminal import caption


def to_markdown(report: RunReport, picture: str) -> str:
    """The comparison as Markdown tables, with a link to the picture's file."""
    lines = [f"# {report.name}", ""]
    tables = (*comparison(report.benchmark), *sharing_tables(report.benchmark), *outcome_tables(report.quantized))
    for table in tables:
        lines += [
            f"## {table.title}",
            "",
            _line([column.replace("\n", "<br>") for column in table.columns]),
            _line(["---", *["---:"] * (len(table.columns) - 1)]),
            *(_line([_dress(cell) for cell in row]) for row in table.rows),
            "",
        ]
    lines += [
        f"**Warning: {sentence}**\n"
        for sentence in (*slower_than_base(report.benchmark), *outcome_warnings(report.quantized))
    ]
    lines += [
        f"Metrics on the test split, from ONNX Runtime's outputs; {caption(report.benchmark)}.",
        "",
        f"![Each task's metric against latency; the points' size is the file's]({picture})",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _dress(cell: Cell) -> str:
    value = f"**{cell.value}**" if cell.warning else cell.value
    return "<br>".join([value, *cell.note.split("\n")]) if cell.note else value
