"""What became of a quantized model, in the terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtl_edge.bench.compressed import LEVEL
from mtl_edge.quantize.audit import Audit, Precision
from mtl_edge.quantize.convert import Converted
from mtl_edge.quantize.file import Quantized
from mtl_edge.quantize.narrow import Narrowed
from mtl_edge.quantize.refinements import Refinements
from mtl_edge.report.outcomes import finetuned_line, guard_line, islands, operators, without_vnni_line
from mtl_edge.report.table import SIZE_ONLY

_POOR_DB = 20
"""Below this, the difference is more than a tenth of an output's spread."""

_SLOWER = 1.05
"""Less is noise."""
_NAMED = 3
"""How many of the layers with fewer bits are named; all are in the JSON."""


def show_quantized(found: Quantized, console: Console) -> None:
    """Print where the model is, what it was made with, what the runtime makes of it, and how far its outputs moved."""
    table = Table.grid(padding=(0, 2))
    ratio = found.file_bytes / found.source_bytes
    table.add_row("int8", f"{found.path}  {found.file_bytes / 1024:.0f} KiB, {ratio:.2f}x")
    seen = "" if found.calibrated else ", seen before"
    table.add_row("calibrated", f"{found.method} over {found.samples} samples{seen}, for {found.target}")
    table.add_row("refined", _refined(found.refinements))
    if found.finetuned is not None and not found.finetuned.remark:
        table.add_row("fine-tuned", finetuned_line(found.finetuned))
    if found.latency_ratio is not None:
        so = f"{found.latency_ratio:.2f}x of fp32 with 1 thread, the best of {found.trials} placements"
        table.add_row("latency", so)
    if found.merged:
        table.add_row("as one layer", ", ".join(found.merged))
    _add_operators(table, found.audit)
    table.add_row("signal to noise", _noise(found.noise_db))
    if found.guarded is not None and not found.guarded.broken:
        table.add_row("guard", guard_line(found.guarded))
    if found.budgets is not None:
        for spent in found.budgets.spent:
            so = f"{spent.loss:+.2f} of {spent.budget}" + ("" if spent.holds else ", MISSED")
            table.add_row(f"loss of {spent.task}", Text(so, style="" if spent.holds else "bold red"))
        if found.budgets.reverted:
            table.add_row("back to float", ", ".join(found.budgets.reverted))
    if found.narrowed:
        table.add_row("weights", _narrowed(found.narrowed))
    console.print(table, soft_wrap=True)
    for line in islands(found.audit):
        console.print(f"stayed in float: {line}", style="yellow", soft_wrap=True)
    if found.without_vnni is not None and (line := without_vnni_line(found.without_vnni, found.noise_db)):
        console.print(line, style="yellow", soft_wrap=True)
    if found.latency_ratio is not None and found.latency_ratio > _SLOWER:
        console.print(
            f"Warning: slower than fp32 on this box, {found.latency_ratio:.2f}x", style="bold red", soft_wrap=True
        )
    if found.guarded is not None and found.guarded.broken:
        title, style = ("Warning", "bold red") if found.guarded.shipped_broken else ("guard", "yellow")
        console.print(f"{title}: {guard_line(found.guarded)}", style=style, soft_wrap=True)
    if found.finetuned is not None and found.finetuned.remark:
        console.print(f"not {finetuned_line(found.finetuned)}", style="yellow", soft_wrap=True)
    for remark in found.budgets.remarks if found.budgets is not None else ():
        console.print(f"Warning: {remark}", style="bold red", soft_wrap=True)
    _warn_of_samples(found.remarks, found.noise_db, console)


def show_converted(found: Converted, console: Console) -> None:
    """Print where the model is, how fast it is, what the runtime makes of it, and how far its outputs moved."""
    table = Table.grid(padding=(0, 2))
    ratio = found.file_bytes / found.source_bytes
    table.add_row(found.form, f"{found.path}  {found.file_bytes / 1024:.0f} KiB, {ratio:.2f}x")
    if (zeros := found.sparse) is not None:
        share = zeros.file_bytes / zeros.source_bytes
        table.add_row("compressed", f"{zeros.file_bytes / 1024:.0f} KiB, {share:.2f}x, by zlib, level {LEVEL}")
        table.add_row("pattern", f"{zeros.pattern}, {SIZE_ONLY}: no kernel is faster for zeros")
    table.add_row("latency", f"{found.latency_ratio:.2f}x of fp32 with 1 thread")
    _add_operators(table, found.audit)
    so = (
        f"{_noise(found.noise_db)}, on {found.samples} samples"
        if found.samples
        else "unknown without samples (--calib)"
    )
    table.add_row("signal to noise", so)
    console.print(table, soft_wrap=True)
    if found.latency_ratio > _SLOWER and found.sparse is None:  # of the same layers, so that it is noise
        so = f"{found.form} does not help on this CPU: slower than fp32, {found.latency_ratio:.2f}x"
        console.print(f"Warning: {so}", style="bold red", soft_wrap=True)
    _warn_of_samples(found.remarks, found.noise_db, console)


def _add_operators(table: Table, audit: Audit) -> None:
    forms: tuple[tuple[str, Precision], ...] = (("in int8", "int8"), ("in float", "float"), ("conversions", "boundary"))
    for title, precision in forms:
        table.add_row(title, operators(audit, precision))


def _noise(levels: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {level:.0f} dB" for name, level in levels.items())


def _warn_of_samples(remarks: Sequence[str], noise_db: Mapping[str, float], console: Console) -> None:
    """What the samples do not show, and outputs that moved far on them."""
    for remark in remarks:
        console.print(f"Warning: the calibration samples have {remark}", style="bold red", soft_wrap=True)
    for name, level in noise_db.items():
        if level < _POOR_DB:
            console.print(
                f"Warning: output {name} moved by more than a tenth of its spread ({level:.0f} dB)",
                style="bold red",
                soft_wrap=True,
            )


def _refined(done: Refinements) -> str:
    """``channels equalized, rounding compensated, biases corrected``, those of them that were done."""
    steps = {
        "channels equalized": done.equalize,
        "rounding compensated": done.rounding == "compensated",
        "biases corrected": done.correct_bias,
    }
    return ", ".join(step for step, was_done in steps.items() if was_done) or "nothing"


def _narrowed(layers: tuple[Narrowed, ...]) -> str:
    """``7.0 to 8 bits in 9 layers, so that sums of two products fit 16 bits: conv1 (12 of 32 channels), … 6 more``."""
    most = sorted(layers, key=lambda item: item.bits)
    named = [f"{item.layer} ({item.channels} of {item.of} channels)" for item in most[:_NAMED]]
    more = [f"{len(most) - _NAMED} more"] if len(most) > _NAMED else []
    extent = f"{most[0].bits:.1f} to 8 bits in {len(layers)} layer{'s' if len(layers) > 1 else ''}"
    return f"{extent}, so that sums of two products fit 16 bits: {', '.join([*named, *more])}"
