"""What became of a model's tasks, in the terminal."""

from rich.console import Console
from rich.table import Table

from mtl_edge.optimize.marginal import TaskCosts
from mtl_edge.optimize.split_file import Split
from mtl_edge.optimize.subset_file import Subset


def show_subset(found: Subset, console: Console) -> None:
    """Print where the model is, what it answers, and what is gone."""
    table = Table.grid(padding=(0, 2))
    table.add_row("model", found.path)
    table.add_row("tasks", ", ".join(found.tasks))
    table.add_row("nodes", f"{found.nodes_before} -> {found.nodes_after}")
    table.add_row("file", f"{_kib(found.bytes_before)} -> {_kib(found.bytes_after)}")
    table.add_row("outputs", _compared(found.largest_difference, found.samples, found.random))
    console.print(table, soft_wrap=True)


def show_split(found: Split, console: Console) -> None:
    """Print where the parts are, how large they are, and whether they give what the whole gave."""
    table = Table.grid(padding=(0, 2))
    table.add_row("folder", found.folder)
    table.add_row(found.chain.trunk, f"{_kib(found.trunk_bytes)} of {_kib(found.bytes_before)}")
    for task, name in found.chain.heads.items():
        table.add_row(name, _kib(found.head_bytes[task]))
    table.add_row("outputs", _compared(found.chain.largest_difference, found.samples, found.random))
    console.print(table, soft_wrap=True)


def show_costs(costs: TaskCosts, console: Console) -> None:
    """Print what each task adds to the whole model; nothing where there is but one."""
    if not costs.tasks:
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("without")
    table.add_column("saves, 1 thread", justify="right")
    table.add_column("saves", justify="right")
    for cost in costs.tasks:
        share = cost.marginal_ms / costs.latency_ms
        latency = f"{cost.marginal_ms:.3f} ms ({100 * share:.0f} %)" if cost.decided else "no clear difference"
        table.add_row(cost.task, latency, f"{cost.marginal_bytes / 1e6:.3f} MB")
    console.print()
    console.print(table)
    console.print(f"of {costs.latency_ms:.3f} ms and {costs.file_bytes / 1e6:.3f} MB with all tasks", soft_wrap=True)


def _kib(size: int) -> str:
    return f"{size / 1024:.1f} KiB"


def _compared(gap: float, samples: int, random: bool) -> str:
    kind = "random samples" if random else "samples"
    how = "equal to the bit to" if not gap else f"within {gap:.0e} of their largest of"
    return f"{how} the whole model's, on {samples} {kind} at once and on one alone"
