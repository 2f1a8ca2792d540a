"""What became of an optimized graph, in the terminal."""

from rich.console import Console
from rich.table import Table

from mtl_edge.optimize.file import OptimizedFile


def show_optimized(found: OptimizedFile, console: Console) -> None:
    """Print where the model is, what was done and what was not, and what that brings."""
    table = Table.grid(padding=(0, 2))
    table.add_row("model", found.path)
    table.add_row("nodes", f"{found.nodes_before} -> {found.nodes_after}")
    table.add_row("applied", ", ".join(found.applied) or "nothing: no change made it clearly faster")
    if found.refused:
        table.add_row("no gain", ", ".join(found.refused))
    if found.applied:
        table.add_row("latency", f"{found.latency_ratio:.2f}x with 1 thread")
        same = "the same to the last bit"
        moved = f"within {found.largest_difference:.0e} of their largest"
        table.add_row("outputs", moved if found.largest_difference else same)
    console.print(table, soft_wrap=True)
