"""One network's metrics in the terminal."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from mtl_edge.tasks import Task


def show_metrics(
    name: str, tasks: Sequence[Task], metrics: Mapping[str, Mapping[str, float]], console: Console
) -> None:
    """Print a line for each metric of each task, measured on the validation samples."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("task", "metric"):
        table.add_column(column)
    table.add_column("value", justify="right")
    for task in tasks:
        for position, metric in enumerate(task.metrics):
            value = metric.format(metrics[task.name][metric.name])
            table.add_row("" if position else task.name, metric.title, value)
    console.print(f"[bold]{name}[/], validation samples")
    console.print(table)
