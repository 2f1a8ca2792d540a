"""The table in the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from mtl_edge.bench.results import Benchmark
from mtl_edge.report.sharing import sharing_tables
from mtl_edge.report.table import Cell, Table, comparison, slower_than_base


def show(benchmark: Benchmark, console: Console) -> None:
    """Print the comparison, what it was measured on, and each model that is slower than the base."""
    for table in (*comparison(benchmark, first_metric_only=True), *sharing_tables(benchmark)):
        console.print(to_rich(table))
    console.print(caption(benchmark), style="dim", soft_wrap=True)
    for sentence in slower_than_base(benchmark):
        console.print(f"Warning: {sentence}", style="bold red", soft_wrap=True)


def to_rich(table: Table) -> RichTable:
    """A table of text as the terminal shows it."""
    shown = RichTable(box=box.SIMPLE_HEAD, show_lines=True, title=table.title, title_justify="left", title_style="bold")
    for index, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if index else "left", overflow="fold", no_wrap=index == 0)
    for row in table.rows:
        shown.add_row(*map(_dress, row))
    return shown


def caption(benchmark: Benchmark) -> str:
    """How and where the figures were measured, in one line."""
    machine = benchmark.machine
    rounds = len(benchmark.results[-1].latencies[0].rounds_ms)  # the first is the base, which takes part in all
    isa = ", ".join(machine.isa) or "no flags known"
    return (
        f"batch {benchmark.points[0].batch}; ratios to {benchmark.base} are medians over {rounds} interleaved rounds; "
        f"ONNX Runtime {machine.versions['onnxruntime']} on {machine.cpu}, {machine.cores} cores ({isa})"
    )


def _dress(cell: Cell) -> Text:
    text = Text(cell.value, style="bold red" if cell.warning else "")
    if cell.note:
        text.append(f"\n{cell.note}", style="red" if cell.warning else "dim")
    return text
