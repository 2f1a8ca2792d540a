"""What became of a quantized model, in the terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from mtl_edge.quantize.audit import Audit
from mtl_edge.quantize.file import Quantized

_POOR_DB = 20
"""Below this, the difference is more than a tenth of an output's spread."""


def show_quantized(found: Quantized, console: Console) -> None:
    """Print where the model is, what it was made with, what the runtime makes of it, and how far its outputs moved."""
    table = Table.grid(padding=(0, 2))
    ratio = found.file_bytes / found.source_bytes
    table.add_row("int8", f"{found.path}  {found.file_bytes / 1024:.0f} KiB, {ratio:.2f}x")
    seen = "" if found.calibrated else ", seen before"
    table.add_row("calibrated", f"{found.method} over {found.samples} samples{seen}, for {found.target}")
    for title, precision in (("in int8", "int8"), ("in float", "float"), ("conversions", "boundary")):
        table.add_row(title, _counts(found.audit, precision) or "none")
    noise = (f"{name} {level:.0f} dB" for name, level in found.noise_db.items())
    table.add_row("signal to noise", ", ".join(noise))
    console.print(table, soft_wrap=True)
    for kind, (count, reason) in _islands(found.audit).items():
        console.print(f"stayed in float: {count} {kind}: {reason}", style="yellow", soft_wrap=True)
    for remark in found.remarks:
        console.print(f"Warning: the calibration samples have {remark}", style="bold red", soft_wrap=True)
    for name, level in found.noise_db.items():
        if level < _POOR_DB:
            console.print(
                f"Warning: output {name} moved by more than a tenth of its spread ({level:.0f} dB)",
                style="bold red",
                soft_wrap=True,
            )


def _counts(audit: Audit, precision: str) -> str:
    counted = audit.count(precision)  # type: ignore[arg-type]  # one of its names
    return ", ".join(f"{count} {kind}" for kind, count in counted.most_common())


def _islands(audit: Audit) -> Mapping[str, tuple[int, str]]:
    """Operator -> how many of it stayed in float beside quantized tensors, and why."""
    found: dict[str, tuple[int, str]] = {}
    for node in audit.islands:
        count, _ = found.get(node.op_type, (0, ""))
        found[node.op_type] = count + 1, node.reason
    return found
