"""What the bytes of int8 files are: weights, biases and scales, and what stands around them.

Usage: python benchmarks/static-int8/file_size.py MODEL…     (prints a table)

Weights are the constants of 8 bits, and small ones that stay in float; biases are the vectors of 32 bits, among them
what a table is standardised with; scales are what conversions multiply by.
"""

from pathlib import Path

import click
import numpy as np
import onnx
from onnx import numpy_helper
from rich.console import Console
from rich.table import Table

from mtl_edge.artifact import METADATA_KEY

_CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")


def parts_of(path: Path) -> dict[str, int]:
    """What the bytes of a file are for -> how many."""
    model = onnx.load(path)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    scales: set[str] = set()
    zeros: set[str] = set()
    for node in model.graph.node:
        if node.op_type in _CONVERSIONS:
            scales.add(node.input[1])
            zeros.update(node.input[2:])
        elif node.op_type == "Mul":  # a weight of 8 bits times its scales, for a layer in float
            scales.update(name for name in node.input if name in tensors)
    found = {"weights": 0, "biases": 0, "scales": 0, "zero points": 0}
    for name, values in tensors.items():
        if name in zeros:
            found["zero points"] += values.nbytes
        elif name in scales:
            found["scales"] += values.nbytes
        elif values.dtype in (np.int32, np.float32) and values.ndim < 2:
            found["biases"] += values.nbytes
        elif values.dtype in (np.int8, np.uint8, np.float32):
            found["weights"] += values.nbytes
    found["manifest"] = sum(entry.ByteSize() for entry in model.metadata_props if entry.key == METADATA_KEY)
    found["nodes"] = sum(node.ByteSize() for node in model.graph.node)
    found["names, sizes"] = path.stat().st_size - sum(found.values())
    return found


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(models: tuple[Path, ...]) -> None:
    """Print what the bytes of MODELS are."""
    rows = {path: parts_of(path) for path in models}
    table = Table("model", *next(iter(rows.values())), "file", "over weights, biases, scales", box=None)
    for path, parts in rows.items():
        size, content = path.stat().st_size, sum(parts[kind] for kind in ("weights", "biases", "scales"))
        table.add_row(path.stem, *(f"{part:,}" for part in parts.values()), f"{size:,}", f"{size / content:.3f}x")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
