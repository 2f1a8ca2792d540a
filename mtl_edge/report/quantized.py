"""What became of a quantized model, in the terminal."""

from rich.console import Console
from rich.table import Table

from mtl_edge.quantize.audit import Precision
from mtl_edge.quantize.file import Quantized
from mtl_edge.report.audits import islands, operators

_POOR_DB = 20
"""Below this, the difference is more than a tenth of an output's spread."""


def show_quantized(found: Quantized, console: Console) -> None:
    """Print where the model is, what it was made with, what the runtime makes of it, and how far its outputs moved."""
    table = Table.grid(padding=(0, 2))
    ratio = found.file_bytes / found.source_bytes
    table.add_row("int8", f"{found.path}  {found.file_bytes / 1024:.0f} KiB, {ratio:.2f}x")
    seen = "" if found.calibrated else ", seen before"
    table.add_row("calibrated", f"{found.method} over {found.samples} samples{seen}, for {found.target}")
    if found.latency_ratio is not None:
        so = f"{found.latency_ratio:.2f}x of fp32 with 1 thread, the best of {found.trials} placements"
        table.add_row("latency", so)
    forms: tuple[tuple[str, Precision], ...] = (("in int8", "int8"), ("in float", "float"), ("conversions", "boundary"))
    for title, precision in forms:
        table.add_row(title, operators(found.audit, precision))
    noise = (f"{name} {level:.0f} dB" for name, level in found.noise_db.items())
    table.add_row("signal to noise", ", ".join(noise))
    console.print(table, soft_wrap=True)
    for line in islands(found.audit):
        console.print(f"stayed in float: {line}", style="yellow", soft_wrap=True)
    for remark in found.remarks:
        console.print(f"Warning: the calibration samples have {remark}", style="bold red", soft_wrap=True)
    for name, level in found.noise_db.items():
        if level < _POOR_DB:
            console.print(
                f"Warning: output {name} moved by more than a tenth of its spread ({level:.0f} dB)",
                style="bold red",
                soft_wrap=True,
            )
