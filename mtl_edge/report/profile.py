"""Where the time of a model goes, in the terminal; works without the package onnx."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtl_edge.profile.results import Cost, Profile, TaskCost

_SHOWN = 16
"""Rows of one table; all are in the JSON."""


def show_profile(found: Profile, console: Console) -> None:
    """Print what each part, operator and layer takes, and what dropping a task saves."""
    threads = f"{found.threads} thread{'s' * (found.threads > 1)}"
    console.print(
        f"latency  {found.median_ms:.4f} ms, median of {found.runs} runs with {threads} on {found.inputs}",
        soft_wrap=True,
    )
    if found.tasks:
        show_costs("by task", found.by_part, console, total_ms=found.median_ms)
        if len(found.tasks) > 1:
            _show_tasks(found.tasks, console)
    show_costs("by operator", found.by_op_type, console, total_ms=found.median_ms)
    if found.tasks:
        show_costs("by layer, with the conversions for it", found.by_layer, console, total_ms=found.median_ms)
    console.print(
        f"times are those of ONNX Runtime's profiler less what it adds to each node; under it, a run takes "
        f"{found.profiled_ms:.4f} ms",
        style="dim",
        soft_wrap=True,
    )
    if found.remark:
        console.print(found.remark, style="yellow", soft_wrap=True, markup=False)


def show_costs(title: str, costs: Sequence[Cost], console: Console, *, total_ms: float | None = None) -> None:
    """Print a table of what nodes cost together; times only where there is a total."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(title, no_wrap=True)
    for column in (*(("ms", "share") if total_ms else ()), "nodes", "weights"):
        table.add_column(column, justify="right", no_wrap=True)
    rest = costs[_SHOWN:]
    for cost in costs[:_SHOWN]:
        table.add_row(Text(cost.name), *_figures([cost], total_ms))
    if rest:
        table.add_row(f"{len(rest)} more", *_figures(rest, total_ms), style="dim")
    console.print()
    console.print(table, soft_wrap=True)


def _figures(costs: Sequence[Cost], total_ms: float | None) -> list[str]:
    weights = sum(cost.weight_bytes for cost in costs)
    figures = [str(sum(cost.nodes for cost in costs)), f"{weights / 1024:.1f} KiB"]
    if total_ms:
        ms = sum(cost.ms or 0.0 for cost in costs)
        figures = [f"{ms:.4f}", f"{ms / total_ms:.0%}", *figures]
    return figures


def _show_tasks(tasks: Sequence[TaskCost], console: Console) -> None:
    """Each task's own nodes by the profile, and what the model without it saves, as measured."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("a model without", no_wrap=True)
    for column in ("saves ms", "middle half of rounds", "file"):
        table.add_column(column, justify="right", no_wrap=True)
    for task in tasks:
        low, high = task.marginal_range_ms or (0.0, 0.0)
        saved = f"{task.marginal_ms:.4f}" if task.marginal_ms is not None else "-"
        smaller = f"-{task.saved_bytes / 1024:.1f} KiB" if task.saved_bytes is not None else "-"
        table.add_row(Text(task.name), saved, f"{low:.4f} … {high:.4f}", smaller)
    console.print()
    console.print(table, soft_wrap=True)
