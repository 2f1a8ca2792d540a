"""The same models on several boxes, in the terminal: a row for each model, a column for each box."""

from collections.abc import Iterator

from rich.console import Console

from mtl_edge.bench.results import Result
from mtl_edge.remote.results import Boxes, BoxResult
from mtl_edge.report.details import doubts
from mtl_edge.report.table import Cell, Table, latency_cell, misplaced
from mtl_edge.report.terminal import caption, show_table


def show_boxes(measured: Boxes, console: Console) -> None:
    """Print a table for each point, one of memory, what the boxes are, and what failed."""
    for table in box_tables(measured):
        show_table(table, console)
    for box in measured.boxes:
        if box.benchmark is None:
            console.print(f"Failed: {box.name}: {box.failure}", style="bold red", soft_wrap=True, markup=False)
            continue
        console.print(f"{box.name}: {caption(box.benchmark)}", style="dim", soft_wrap=True, markup=False)
        for sentence in misplaced(box.benchmark):
            console.print(f"Warning: {box.name}: {sentence}", style="bold red", soft_wrap=True, markup=False)
        for doubt in doubts(box.benchmark):
            console.print(f"Noisy: {box.name}: {doubt}", style="yellow", soft_wrap=True, markup=False)
        for failed in box.benchmark.failures:
            line = f"Failed: {box.name}: {failed.name}: {failed.reason}"
            console.print(line, style="bold red", soft_wrap=True, markup=False)


def box_tables(measured: Boxes) -> list[Table]:
    """Latencies, a table for each combination of threads, batch and sizes; then memory."""
    benchmarks = [box.benchmark for box in measured.boxes if box.benchmark is not None]
    names = dict.fromkeys(result.name for found in benchmarks for result in found.results)
    points = dict.fromkeys(point for found in benchmarks for point in found.points)
    columns = ("model", *(box.name for box in measured.boxes))
    tables = [
        Table(
            f"Latency p50, {point}",
            columns,
            tuple(
                (
                    Cell(name),
                    *(
                        latency_cell(result, box.benchmark, point) if result and box.benchmark else missing
                        for box, result, missing in _across(measured, name)
                    ),
                )
                for name in names
            ),
        )
        for point in points
    ]
    memory = Table(
        "Peak memory",
        columns,
        tuple(
            (Cell(name), *(_memory(result) if result else missing for _, result, missing in _across(measured, name)))
            for name in names
        ),
    )
    return [*tables, memory] if names else []


def _across(measured: Boxes, name: str) -> Iterator[tuple[BoxResult, Result | None, Cell]]:
    """What each box measured of one model, and what stands there where it did not."""
    for box in measured.boxes:
        yield box, box.benchmark.result(name) if box.benchmark else None, Cell("failed", warning=True)


def _memory(result: Result) -> Cell:
    return Cell(f"{result.peak_rss_bytes / 2**20:.1f} MiB", f"model {result.model_rss_bytes / 2**20:.1f}")
