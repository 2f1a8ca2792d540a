"""Exact rewrites of what ONNX Runtime's quantizer would get wrong."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper, version_converter

from mtl_edge.errors import ModelError, last_words
from mtl_edge.graph import names_read_inside
from mtl_edge.quantize.weights import LAYERS, channel_axis

OPSET = 13
"""The first in which a scale can belong to a channel."""
_HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def with_opset(model: onnx.ModelProto, least: int = OPSET) -> onnx.ModelProto:
    """The same model in a version of ONNX's operators that can be quantized; itself where it is as new already.

    Raises:
        ModelError: one of its operators cannot be brought there.
    """
    found = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), least)
    if found >= least:
        return model
    try:
        return version_converter.convert_version(model, least)
    except Exception as error:  # the converter's own exception types are not public
        raise ModelError(
            f"quantize: the model must be of operator set {least} or later, found {found}, which cannot be converted: "
            f"{last_words(error)}"
        ) from error


def fold_casts(graph: onnx.GraphProto) -> None:
    """Make weights in half precision float32 where that is what ONNX Runtime computes with on this processor."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        tensor = tensors.get(node.input[0]) if node.op_type == "Cast" else None
        if tensor is not None and tensor.data_type in _HALF and node.attribute[0].i == TensorProto.FLOAT:
            content = numpy_helper.to_array(tensor).astype(np.float32)
            graph.initializer.append(numpy_helper.from_array(content, node.output[0]))
            graph.node.remove(node)


def half_precision_layer(graph: onnx.GraphProto) -> str:
    """Name of the first node with weights in half precision; empty if there is none."""
    half = {tensor.name for tensor in graph.initializer if tensor.data_type in _HALF}
    return next((node.name for node in graph.node if node.op_type != "Cast" and half & set(node.input)), "")


def fold_factors(graph: onnx.GraphProto) -> None:
    """Take alpha and beta of every Gemm into its weight and its bias: the bias in int32 has no place for them."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Gemm":
            continue
        for attribute in node.attribute:
            if attribute.name == "beta" and len(node.input) < 3:
                attribute.f = 1.0  # a bias may be given to it later
            position = {"alpha": 1, "beta": 2}.get(attribute.name, len(node.input))
            if attribute.f == 1 or position >= len(node.input) or node.input[position] not in tensors:
                continue
            scaled = numpy_helper.to_array(tensors[node.input[position]]) * np.float32(attribute.f)
            node.input[position] = f"{node.input[position]}_{attribute.name}_of_{node.output[0]}"
            graph.initializer.append(numpy_helper.from_array(scaled.astype(np.float32), node.input[position]))
            attribute.f = 1.0


def write_out_biases(graph: onnx.GraphProto) -> None:
    """Give each Gemm with a bias a value for every column of its own: the quantizer does not broadcast."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Gemm" or len(node.input) < 3 or not {*node.input[1:3]} <= tensors.keys():
            continue
        weight, bias = tensors[node.input[1]], numpy_helper.to_array(tensors[node.input[2]])
        columns = weight.dims[channel_axis(node, 2)]
        if bias.shape == (columns,) or bias.size not in (1, columns):
            continue
        node.input[2] = f"{node.input[2]}_written_out_for_{node.output[0]}"
        written = np.broadcast_to(bias.reshape(-1), (columns,))
        graph.initializer.append(numpy_helper.from_array(written.copy(), node.input[2]))


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


def part_shared_constants(graph: onnx.GraphProto) -> None:
    """Give each use of a constant a copy of its own where the quantizer wants another form for it.

    As one layer's weight it has scales along one axis, along another as that of the transposed layer; as a bias it has
    32 bits, and 8 where it is added.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    uses: dict[str, dict[tuple[str, int], str]] = {}
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name not in tensors or not tensors[name].dims:
                continue
            known = uses.setdefault(name, {})
            use = _use(node, position, len(tensors[name].dims))
            if use in known or not known:
                node.input[position] = known.setdefault(use, name)
                continue
            known[use] = node.input[position] = f"{name}_as_{use[0]}_{use[1]}"
            copy = graph.initializer.add()
            copy.CopyFrom(tensors[name])
            copy.name = known[use]


def _use(node: onnx.NodeProto, position: int, axes: int) -> tuple[str, int]:
    """What an input is to a node: a weight with channels along an axis, a bias, or anything else."""
    if position == 2 and node.op_type in ("Conv", "ConvTranspose", "Gemm"):
        return "bias", 0
    if position == 1 and node.op_type in LAYERS:
        return "weight", channel_axis(node, axes)
    return "value", 0
