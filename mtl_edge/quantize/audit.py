"""What ONNX Runtime makes of a quantized model: which operators really run in int8, which stayed in float, and why.

Q/DQ pairs are only a wish. The runtime's optimizer grants it where it has a kernel that takes the quantized inputs and
gives a quantized output; everywhere else it dequantizes, computes in float and quantizes again, which is slower than
no quantization at all. So the graph to look at is the one after the optimizer.
"""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec
import onnx

from mtl_edge.runtime import open_session

Precision = Literal["int8", "float", "boundary", "neutral"]

_BOUNDARY = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
_INT8 = (
    "ConvInteger",
    "DynamicQuantizeLSTM",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "QAttention",
    "QGemm",
)
_SMALL_WEIGHTS = ("GatherBlockQuantized", "MatMulBnb4", "MatMulNBits")
NEUTRAL = frozenset(
    {
        "Cast",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "GatherND",
        "Identity",
        "MaxPool",
        "NhwcMaxPool",
        "Pad",
        "Range",
        "ReorderInput",
        "ReorderOutput",
        "Reshape",
        "Shape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
"""They move values, or compare them, and do so in any type."""
_ANY_TYPE = ("Resize",)
"""They compute, in 8 bits where that is what they are given."""

NO_KERNEL = "no int8 kernel takes this form: its inputs are dequantized and its output quantized again"
"""Why an operator that was to run in int8 does not."""


class AuditedNode(msgspec.Struct, frozen=True):
    """One node of the graph that ONNX Runtime runs."""

    op_type: str
    name: str
    precision: Precision
    reason: str = ""


class Audit(msgspec.Struct, frozen=True):
    """All nodes in the order in which they run."""

    nodes: tuple[AuditedNode, ...]

    def count(self, precision: Precision) -> Counter[str]:
        """Operator -> how many of them run this way."""
        return Counter(node.op_type for node in self.nodes if node.precision == precision)

    @property
    def islands(self) -> tuple[AuditedNode, ...]:
        """What stayed in float although a quantized tensor comes in or goes out: each costs conversions."""
        return tuple(node for node in self.nodes if node.precision == "float" and node.reason)


def audit(model: bytes) -> Audit:
    """Look at the graph that ONNX Runtime runs on this CPU.

    Raises:
        ModelError: the model cannot be loaded.
    """
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as folder:
        path = Path(folder) / "optimized.onnx"
        open_session(model, save_optimized=path)
        return audit_optimized(onnx.load(path).graph)


def audit_optimized(graph: onnx.GraphProto) -> Audit:
    """Look at a graph that ONNX Runtime has optimized."""
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    eight_bits = _eight_bit_values(graph)
    return Audit(tuple(_audited(node, makers, readers, eight_bits) for node in graph.node))


def is_quantized(node: onnx.NodeProto) -> bool:
    """Whether a node is one that only quantizers write."""
    return node.op_type.startswith("QLinear") or node.op_type in (*_BOUNDARY, *_INT8, *_SMALL_WEIGHTS)


def _audited(
    node: onnx.NodeProto,
    makers: dict[str, onnx.NodeProto],
    readers: dict[str, list[onnx.NodeProto]],
    eight_bits: set[str],
) -> AuditedNode:
    kind = node.op_type
    if kind in _BOUNDARY:
        return AuditedNode(kind, node.name, "boundary")
    if kind.startswith("QLinear") or kind in _INT8:
        return AuditedNode(kind, node.name, "int8")
    if kind in NEUTRAL:
        return AuditedNode(kind, node.name, "neutral")
    if kind in _ANY_TYPE and node.input[0] in eight_bits:
        return AuditedNode(kind, node.name, "int8")
    quantized_inputs = [name for name in node.input if name in makers and makers[name].op_type == "DequantizeLinear"]
    computed = [name for name in node.input if name in makers]
    quantized_output = any(
        reader.op_type == "QuantizeLinear" for name in node.output for reader in readers.get(name, [])
    )
    if quantized_inputs and len(quantized_inputs) == len(computed):
        reason = NO_KERNEL if quantized_output else "its inputs are quantized but its output is not"
    elif quantized_inputs:
        reason = f"only {len(quantized_inputs)} of its {len(computed)} computed inputs are quantized"
    elif quantized_output:
        reason = "its output is quantized but its inputs are not"
    else:
        reason = ""
    return AuditedNode(kind, node.name, "float", reason)


def _eight_bit_values(graph: onnx.GraphProto) -> set[str]:
    """The values that are 8-bit numbers, as far as the operators tell that make them or hand them on."""
    found: set[str] = set()
    for node in graph.node:
        kind = node.op_type
        handed_on = (kind in NEUTRAL and kind != "Cast") or kind in _ANY_TYPE
        if (
            kind == "QuantizeLinear"
            or kind.startswith("QLinear")
            or (handed_on and node.input and node.input[0] in found)
        ):
            found.update(node.output)
    return found
