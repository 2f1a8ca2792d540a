"""Weights in 8 bits for layers that compute in float: the file is as small as an int8 one, and nothing is slower.

A weight is stored as int8 and multiplied by its scales in the graph. That is a constant, which every runtime folds when
it loads the model; a DequantizeLinear in its place would be computed anew in every run.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.quantize.narrow import ChannelEnds

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_BITS = {TensorProto.INT8: 8, TensorProto.UINT8: 8, TensorProto.FLOAT16: 16}
_SMALLEST = 256
"""Values; of a smaller weight the scales and two nodes take more than it saves."""


def with_small_weights(
    proto: onnx.ModelProto, pinned: Mapping[str, ChannelEnds] = MappingProxyType({})
) -> onnx.ModelProto:
    """Store the float weights of layers in 8 bits, symmetric, with one scale per channel; in place.

    A channel is what one output of the layer has, and of an embedding's table what one row is. Weights that are rounded
    already are ``pinned``: the axis of their channels, and the largest magnitude of each.
    """
    graph = proto.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    added: list[onnx.NodeProto] = []
    done: set[str] = set()
    for node in graph.node:
        name = layer_weight(node)
        if name not in tensors:
            continue
        tensor = tensors[name]
        axis = channel_axis(node, len(tensor.dims))
        small = np.prod(tensor.dims) < _SMALLEST or len(tensor.dims) < 2
        if small or tensor.data_type != TensorProto.FLOAT or name in done:
            continue
        done.add(name)
        weight = numpy_helper.to_array(tensor)
        others = tuple(other for other in range(weight.ndim) if other != axis)
        largest = np.abs(weight).max(axis=others, keepdims=True)
        if name in pinned:
            largest = pinned[name][1].reshape(largest.shape)
        scale = np.maximum(largest, np.finfo(np.float32).tiny * 127) / 127
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(np.round(weight / scale).astype(np.int8), f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale_of_weight"))
        added.append(helper.make_node("Cast", [f"{name}_int8"], [f"{name}_cast"], to=TensorProto.FLOAT))
        added.append(helper.make_node("Mul", [f"{name}_cast", f"{name}_scale_of_weight"], [name]))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*added, *nodes])
    return proto


def bits_of_weights(graph: onnx.GraphProto) -> int | None:
    """8 or 16 where weights of a graph have that many bits, and become float when it is loaded; else None."""
    bits = {tensor.name: _BITS[tensor.data_type] for tensor in graph.initializer if tensor.data_type in _BITS}
    return next((bits[node.input[0]] for node in graph.node if node.op_type == "Cast" and node.input[0] in bits), None)


def layer_weight(node: onnx.NodeProto) -> str:
    """Name of what holds the weights of a layer, if this is one."""
    position = 0 if node.op_type == "Gather" else 1 if node.op_type in LAYERS else len(node.input)
    return str(node.input[position]) if position < len(node.input) else ""


def channel_axis(node: onnx.NodeProto, axes: int) -> int:
    """Along which axis of its weight the channels of a layer lie."""
    match node.op_type:
        case "Gather":
            return next((entry.i % axes for entry in node.attribute if entry.name == "axis"), 0)
        case "Conv":
            return 0
        case "ConvTranspose":
            return 1
        case "Gemm" if any(entry.name == "transB" and entry.i for entry in node.attribute):
            return 0
    return axes - 1
