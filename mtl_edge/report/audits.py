"""What the runtime makes of int8 models, as a table of text."""

from collections.abc import Mapping

from mtl_edge.quantize.audit import NO_KERNEL, Audit, Precision
from mtl_edge.report.table import Cell, Table


def audit_table(audits: Mapping[str, Audit]) -> Table:
    """Each model's operators by what they run in; a warning where some were meant for int8 and have no kernel."""
    rows = tuple(
        (
            Cell(name),
            Cell(operators(audit, "int8")),
            Cell(operators(audit, "float"), note="\n".join(islands(audit)), warning=_lacks_kernels(audit)),
            Cell(operators(audit, "boundary")),
        )
        for name, audit in audits.items()
    )
    return Table("What runs in int8", ("model", "in int8", "in float", "conversions"), rows, prose=True)


def operators(audit: Audit, precision: Precision) -> str:
    """Which of them run this way, and how many: ``9 QLinearConv, 3 QLinearAdd``."""
    counted = audit.count(precision).most_common()
    return ", ".join(f"{count} {kind}" for kind, count in counted) or "none"


def islands(audit: Audit) -> list[str]:
    """What stayed in float beside quantized tensors, and why; a line for each operator."""
    found: dict[tuple[str, str], int] = {}
    for node in audit.islands:
        key = node.op_type, node.reason
        found[key] = found.get(key, 0) + 1
    return [f"{count} {kind}: {reason}" for (kind, reason), count in found.items()]


def _lacks_kernels(audit: Audit) -> bool:
    return any(node.reason == NO_KERNEL for node in audit.islands)
