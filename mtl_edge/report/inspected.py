"""What a model is, in the terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtl_edge.profile.inspect import Inspection, Tensor
from mtl_edge.quantize.audit import Precision
from mtl_edge.report.outcomes import islands, operators
from mtl_edge.report.profile import show_costs

_PRECISIONS: tuple[tuple[str, Precision], ...] = (
    ("in int8", "int8"),
    ("in float", "float"),
    ("conversions", "boundary"),
    ("moves", "neutral"),
)


def show_inspection(found: Inspection, console: Console, *, sizes: bool = True) -> None:
    """Print what the model reads and answers, what the runtime makes of it, and where its bytes are.

    Args:
        found: what was found.
        console: where to print.
        sizes: print the tables of sizes, too; those of a profile have them beside the times.
    """
    facts = Table.grid(padding=(0, 2))

    def add(title: str, fact: str) -> None:
        facts.add_row(title, Text(fact))  # names may hold brackets, which are markup elsewhere

    add("model", f"{found.path}  {found.file_bytes / 1024:.0f} KiB")
    if found.variant:
        add("made as", f"{found.variant}: {', '.join(found.made)}")
    for number, task in enumerate(found.tasks):
        add("" if number else "tasks", f"{_shape(task.output)}  {task.kind or 'no manifest says what it is'}")
    for number, item in enumerate(found.inputs):
        add("" if number else "inputs", _shape(item))
    opsets = ", ".join(f"{domain or 'onnx'} {version}" for domain, version in found.opsets.items())
    add("operator sets", f"{opsets}; format {found.ir_version}; written by {found.producer or 'nobody named'}")
    add("needs", f"ONNX Runtime {found.runtime_needed or '(not known which)'} or later")
    if found.target:
        add("made for", found.target)
    add("nodes", f"{found.nodes_in_file} in the file, {len(found.nodes)} when ONNX Runtime has optimized it")
    for title, precision in _PRECISIONS:
        add(title, operators(found.audit, precision))
    console.print(facts, soft_wrap=True)
    for line in islands(found.audit):
        console.print(f"stayed in float: {line}", style="yellow", soft_wrap=True)
    if sizes:
        show_costs("by task", found.by_part, console)
        show_costs("by layer", found.by_layer, console)


def _shape(item: Tensor) -> str:
    """``image float (batch, 1, 36, 36)``."""
    return f"{item.name} {item.dtype} ({', '.join('?' if size is None else str(size) for size in item.shape)})"
