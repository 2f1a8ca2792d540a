"""What became of an export, in the terminal."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtl_edge.export.folder import Exported
from mtl_edge.export.mobile import Accelerator


def show_exported(found: Exported, folder: Path, console: Console) -> None:
    """Print the files, what was done to the graph, each hop, and what to know and to mend."""
    table = Table.grid(padding=(0, 2))
    for name, size in found.files.items():
        if not name.endswith((".json", ".config")):
            table.add_row("model", f"{folder / name}  {size / 1024:.0f} KiB")
    table.add_row("graph", ", ".join(found.steps) or "as it was")
    table.add_row(
        "format",
        f"operator set {found.opset}, IR version {found.ir_version}: ONNX Runtime {found.oldest_runtime} or later",
    )
    for hop in found.hops:
        table.add_row("parity", Text(hop.describe(), style="" if hop.holds else "bold red"))
    for accelerator in found.accelerators:
        table.add_row(accelerator.name, _accelerator(accelerator))
    console.print(table, soft_wrap=True)
    for remark in found.remarks:
        console.print(f"Note: {remark}", style="yellow", soft_wrap=True, markup=False)
    for warning in found.warnings:
        console.print(f"Warning: {warning}", style="bold red", soft_wrap=True, markup=False)


def _accelerator(found: Accelerator) -> str:
    """``no, 16 of 73 nodes; yes with fixed shapes: …``."""
    able, of = found.nodes
    parts = f" in {found.parts} pieces" if found.parts > 1 else ""
    return f"{found.verdict}, {'; '.join([f'{able} of {of} nodes{parts}', *found.advice])}"
