"""The table in the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from mtl_edge.bench.results import Benchmark
from mtl_edge.report.details import doubts, remarks
from mtl_edge.report.sharing import sharing_tables
from mtl_edge.report.sparse import sparse_tables
from mtl_edge.report.table import Cell, Table, comparison, misplaced, slower_than_base


def show(benchmark: Benchmark, console: Console, *, details: Sequence[Table] = ()) -> None:
    """Print the comparison, what it was measured on, what is misplaced or slower than the base, and what to doubt."""
    compared = comparison(benchmark, first_metric_only=True)
    for table in (*compared, *sparse_tables(benchmark), *sharing_tables(benchmark), *details):
        show_table(table, console)
    console.print(caption(benchmark), style="dim", soft_wrap=True)
    for remark in remarks(benchmark):
        console.print(remark, style="dim", soft_wrap=True)
    for sentence in (*misplaced(benchmark), *slower_than_base(benchmark)):
        console.print(f"Warning: {sentence}", style="bold red", soft_wrap=True)
    for doubt in doubts(benchmark):
        console.print(f"Noisy: {doubt}", style="yellow", soft_wrap=True)
    for failed in benchmark.failures:
        console.print(f"Failed: {failed.name}: {failed.reason}", style="bold red", soft_wrap=True)


def show_table(table: Table, console: Console) -> None:
    """Print one table; lines between its rows where cells have several."""
    several = any("\n" in f"{cell.value}{cell.note}" or cell.note for row in table.rows for cell in row)
    shown = RichTable(
        box=box.SIMPLE_HEAD, show_lines=several, title=table.title, title_justify="left", title_style="bold"
    )
    for index, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if index else "left", overflow="fold", no_wrap=index == 0)
    for row in table.rows:
        shown.add_row(*map(_dress, row))
    console.print(shown)


def caption(benchmark: Benchmark) -> str:
    """How and where the figures were measured, in one line."""
    machine = benchmark.machine
    batches = ",".join(str(batch) for batch in dict.fromkeys(point.batch for point in benchmark.points))
    rounds = len(benchmark.results[0].latencies[0].rounds_ms)
    isa = ", ".join(machine.isa) or "no flags known"
    return (
        f"batch {batches}; ratios to {benchmark.base} are medians over {rounds} interleaved rounds, with 99 % "
        f"intervals; ONNX Runtime {machine.versions['onnxruntime']} on {machine.cpu}, {machine.cores} cores ({isa})"
    )


def _dress(cell: Cell) -> Text:
    text = Text(cell.value, style="bold red" if cell.warning else "")
    if cell.note:
        text.append(f"\n{cell.note}", style="red" if cell.warning else "dim")
    return text
