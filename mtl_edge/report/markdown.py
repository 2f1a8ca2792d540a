"""The report for pull requests."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mtl_edge.bench.results import Benchmark
from mtl_edge.remote.results import Boxes
from mtl_edge.report.boxes import box_tables
from mtl_edge.report.headline import headline
from mtl_edge.report.lineage import steps_table
from mtl_edge.report.methods import methods_table
from mtl_edge.report.profile_tables import parts_tables
from mtl_edge.report.sharing import sharing_tables
from mtl_edge.report.sparse import sparse_tables
from mtl_edge.report.table import Cell, Table, comparison, warnings
from mtl_edge.report.teachers import teacher_tables
from mtl_edge.report.terminal import caption

if TYPE_CHECKING:
    from mtl_edge.report.document import RunReport


def run_to_markdown(report: "RunReport", *, picture: str | None) -> str:
    """A finished run as Markdown tables, with a link to the picture's file."""
    from mtl_edge.report.outcomes import outcome_tables, run_notes, run_warnings
    from mtl_edge.report.schedule import schedule_tables

    tasks = report.benchmark.base_result.tasks
    tables = [
        *schedule_tables(report.pruned, tasks),
        *parts_tables(report.profiles.found),
        *outcome_tables(report.quantized),
        *teacher_tables(report.validation, tasks),
    ]
    return _document(report.name, report.benchmark, picture, tables, run_warnings(report), run_notes(report))


def bench_to_markdown(name: str, benchmark: Benchmark, *, picture: str | None, boxes: Boxes | None = None) -> str:
    """A benchmark of any models, likewise; on several boxes, what differs among them comes last."""
    found = _document(name, benchmark, picture)
    for table in box_tables(boxes) if boxes is not None else []:
        found += "\n".join(["", f"## {table.title}, box by box", "", *to_markdown_table(table)]) + "\n"
    return found


def to_markdown_table(table: Table) -> list[str]:
    """Its lines; rows that sum up the others come last."""
    names, figures = len(table.columns[: table.names]), len(table.columns) - table.names
    return [
        _line([column.replace("\n", "<br>") for column in table.columns]),
        _line([*["---"] * names, *["---" if table.prose else "---:"] * figures]),
        *(_line([_dress(cell) for cell in row]) for row in (*table.rows, *table.summary)),
    ]


def _document(
    name: str,
    benchmark: Benchmark,
    picture: str | None,
    further: Sequence[Table] = (),
    remarks: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    lines = [f"# {name}", ""]
    best = headline(benchmark)
    if best is not None:
        lines += [f"**{best.model}**, {best.reason}.", ""]
        lines += [f"- {figure.title}: **{figure.value}** ({figure.note})" for figure in best.figures]
        lines += [""] if best.figures else []
    methods, step_by_step = methods_table(benchmark), steps_table(benchmark)
    *gives, costs = comparison(benchmark)
    tables = [
        *([methods] if methods else gives),
        costs,
        *sparse_tables(benchmark),
        *([step_by_step] if step_by_step else []),
        *sharing_tables(benchmark),
        *further,
    ]
    for table in tables:
        lines += [f"## {table.title}", "", *to_markdown_table(table), ""]
        lines += [table.caption, ""] if table.caption else []
    lines += [f"{sentence}.\n" for sentence in notes]
    lines += [f"**Warning: {sentence}**\n" for sentence in (*warnings(benchmark), *remarks)]
    measured = any(result.metrics for result in benchmark.results)
    lines.append(f"{'Metrics on the test samples, from the runtime; ' if measured else ''}{caption(benchmark)}.")
    if picture is not None:
        lines += ["", f"![Each task's metric against latency]({picture})"]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _dress(cell: Cell) -> str:
    value = f"**{cell.value}**" if cell.warning else cell.value
    return "<br>".join([*value.split("\n"), *cell.note.split("\n")]) if cell.note else value.replace("\n", "<br>")
