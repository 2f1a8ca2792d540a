"""Exact rewrites of what ONNX Runtime's quantizer would get wrong."""

import numpy as np
import onnx
from onnx import numpy_helper, version_converter

from mtl_edge.errors import ModelError
from mtl_edge.quantize.graph import names_read_inside

_OPSET = 13
"""The first in which a scale can belong to a channel."""


def with_scales_per_channel(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model in a version of ONNX's operators that can be quantized.

    Raises:
        ModelError: one of its operators cannot be brought there.
    """
    found = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), _OPSET)
    if found >= _OPSET:
        return model
    try:
        return version_converter.convert_version(model, _OPSET)
    except Exception as error:  # the converter's own exception types are not public
        raise ModelError(
            f"quantize: the model must be of operator set {_OPSET} or later, found {found}, which cannot be converted: "
            f"{' '.join(str(error).split())[-200:]}"
        ) from error


def fold_factors(graph: onnx.GraphProto) -> None:
    """Take alpha and beta of every Gemm into its weight and its bias: the bias in int32 has no place for them."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Gemm":
            continue
        for attribute in node.attribute:
            position = {"alpha": 1, "beta": 2}.get(attribute.name, len(node.input))
            if attribute.f == 1 or position >= len(node.input) or node.input[position] not in tensors:
                continue
            scaled = numpy_helper.to_array(tensors[node.input[position]]) * np.float32(attribute.f)
            node.input[position] = f"{node.input[position]}_{attribute.name}_of_{node.output[0]}"
            graph.initializer.append(numpy_helper.from_array(scaled.astype(np.float32), node.input[position]))
            attribute.f = 1.0


def has_factors(node: onnx.NodeProto) -> bool:
    """Whether a Gemm has factors, which :func:`fold_factors` could not fold as they do not belong to constants."""
    used = {"alpha": 2, "beta": 3}
    return node.op_type == "Gemm" and any(
        attribute.f != 1 and len(node.input) >= used[attribute.name]
        for attribute in node.attribute
        if attribute.name in used
    )


def part_read_activations(graph: onnx.GraphProto) -> None:
    """Give what goes into an activation a copy where an output of the graph or a body of a branch reads it too.

    The quantizer gives such a value the range of what comes out, having not seen that others read what goes in.
    """
    elsewhere = {value.name for value in graph.output}
    elsewhere.update(name for node in graph.node for name in names_read_inside(node))
    activated = {node.input[0] for node in graph.node if node.op_type in ("Relu", "Clip")}
    types = {value.name: value for value in (*graph.value_info, *graph.output)}
    nodes: list[onnx.NodeProto] = []
    inner: dict[str, str] = {}
    for node in list(graph.node):
        node.input[:] = [inner.get(name, name) for name in node.input]
        nodes.append(node)
        for position, name in enumerate(node.output):
            if name in elsewhere and name in activated:
                inner[name] = f"{name}_before_activation"
                node.output[position] = inner[name]
                copy = onnx.helper.make_node("Identity", [inner[name]], [name], f"{node.name}_copy")
                nodes.append(copy)
                if name in types:
                    info = graph.value_info.add()
                    info.CopyFrom(types[name])
                    info.name = inner[name]
    del graph.node[:]
    graph.node.extend(nodes)
