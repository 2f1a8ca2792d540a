"""The graph that ONNX Runtime has optimized, node by node: what each works for, who needs it, what it weighs."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
from onnx import helper

from mtl_edge.graph import names_read
from mtl_edge.optimize.subset import cut_outputs
from mtl_edge.profile.results import GraphNode
from mtl_edge.quantize.audit import audit_optimized
from mtl_edge.quantize.placement import outputs_served, part_name
from mtl_edge.quantize.source import read_content

_HELPERS = (
    "Cast",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "Flatten",
    "Identity",
    "QuantizeLinear",
    "ReorderInput",
    "ReorderOutput",
    "Reshape",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
"""What only converts or moves values for another node."""


def optimized_nodes(path: Path) -> tuple[GraphNode, ...]:
    """All nodes of a graph that :func:`mtl_edge.runtime.open_session` has saved, in the order in which they run."""
    graph = onnx.load(path).graph
    audited = audit_optimized(graph).nodes
    own_names = [node.name for node in graph.node]
    for number, node in enumerate(graph.node):  # the runtime leaves some without a name, or names two alike
        if not node.name or own_names.count(node.name) > 1:
            node.name = f"{node.name or node.op_type} #{number}"
    served, layers, weights = outputs_served(graph), _layers(graph), _weights(graph)
    order = [output.name for output in graph.output]
    return tuple(
        GraphNode(
            name=node.name,
            op_type=node.op_type,
            layer=layers[node.name],
            part=part_name(serves := tuple(name for name in order if name in served[node.name]), len(order)),
            serves=serves,
            precision=seen.precision,
            reason=seen.reason,
            weight_bytes=weights[node.name],
        )
        for node, seen in zip(graph.node, audited, strict=True)
    )


def without_each_output(path: Path) -> Iterator[tuple[str, bytes]]:
    """Each output of a model, and the model without it; nothing for a model with one output.

    Raises:
        ModelError: the file cannot be read.
    """
    whole = read_content(path)
    names = [output.name for output in onnx.load_from_string(whole).graph.output]
    if len(names) > 1:
        for name in names:
            yield name, cut_outputs(whole, [other for other in names if other != name])


def _layers(graph: onnx.GraphProto) -> Mapping[str, str]:
    """Node -> the one that it works for: of a helper, the one that reads its output, or else that it reads from."""
    makers = {name: node.name for node in graph.node for name in node.output if name}
    readers: dict[str, onnx.NodeProto] = {}
    for node in reversed(graph.node):
        readers.update(dict.fromkeys(names_read(node), node))
    found: dict[str, str] = {}
    for node in reversed(graph.node):
        after = next((readers[name] for name in node.output if name in readers), None)
        found[node.name] = node.name if node.op_type not in _HELPERS else found[after.name] if after else ""
    for node in graph.node:
        if not found[node.name]:  # a helper, and its output is the model's
            maker = next((makers[name] for name in node.input if name in makers), None)
            found[node.name] = found[maker] if maker else node.name
    return found


def _weights(graph: onnx.GraphProto) -> Mapping[str, int]:
    """Node -> bytes of the constants that it is the first to read, those of graphs within it included."""
    sizes = {tensor.name: _size(tensor) for tensor in graph.initializer}
    found = {}
    for node in graph.node:
        inner = sum(_inner_size(item.g) for item in node.attribute if item.HasField("g"))
        found[node.name] = inner + sum(sizes.pop(name, 0) for name in names_read(node))
    return found


def _inner_size(graph: onnx.GraphProto) -> int:
    own = sum(map(_size, graph.initializer))
    return own + sum(_inner_size(item.g) for node in graph.node for item in node.attribute if item.HasField("g"))


def _size(tensor: onnx.TensorProto) -> int:
    """Bytes of a constant's values; two of four bits share one."""
    count = 1
    for size in tensor.dims:
        count *= size
    if tensor.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4):
        return -(-count // 2)
    return count * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
