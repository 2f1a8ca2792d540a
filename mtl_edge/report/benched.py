"""Many models in the terminal."""

from collections.abc import Sequence

from rich.console import Console

from mtl_edge.bench.machine import Conditions
from mtl_edge.bench.results import Failure
from mtl_edge.report.table import Cell, Table
from mtl_edge.report.terminal import show_table


def show_many(
    columns: tuple[str, ...],
    rows: Sequence[tuple[Cell, ...]],
    failures: Sequence[Failure],
    base: str,
    conditions: Conditions,
    warnings: Sequence[str],
    console: Console,
) -> None:
    """Print what each model costs against the base, what failed and why, and what to doubt."""
    show_table(Table("What it costs", columns, tuple(rows)), console)
    counted = f"{len(rows)} measured, {len(failures)} failed"
    console.print(f"{counted}; ratios are to {base}", style="dim", soft_wrap=True)
    for sentence in warnings:
        console.print(f"Warning: {sentence}", style="bold red", soft_wrap=True)
    for doubt in conditions.noise:
        console.print(f"Noisy: {doubt}", style="yellow", soft_wrap=True)
    for failed in failures:
        console.print(f"Failed: {failed.name}: {failed.reason}", style="bold red", soft_wrap=True)
