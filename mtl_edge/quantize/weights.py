"""Weights in 8 bits for layers that compute in float: the file is as small as an int8 one, and nothing is slower.

A weight is stored as int8 and multiplied by its scales in the graph. That is a constant, which every runtime folds when
it loads the model; a DequantizeLinear in its place would be computed anew in every run.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_SMALLEST = 256
"""Values; of a smaller weight the scales and two nodes take more than it saves."""


def with_small_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Store the float weights of layers in 8 bits, symmetric, with one scale per output channel; in place."""
    graph = proto.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    added: list[onnx.NodeProto] = []
    done: set[str] = set()
    for node in graph.node:
        if node.op_type not in _LAYERS or len(node.input) < 2 or node.input[1] not in tensors:
            continue
        name, axis = node.input[1], _output_axis(node, len(tensors[node.input[1]].dims))
        tensor = tensors[name]
        small = np.prod(tensor.dims) < _SMALLEST or len(tensor.dims) < 2
        if small or tensor.data_type != TensorProto.FLOAT or name in done:
            continue
        done.add(name)
        weight = numpy_helper.to_array(tensor)
        others = tuple(other for other in range(weight.ndim) if other != axis)
        scale = np.maximum(np.abs(weight).max(axis=others, keepdims=True), np.finfo(np.float32).tiny * 127) / 127
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(np.round(weight / scale).astype(np.int8), f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale_of_weight"))
        added.append(helper.make_node("Cast", [f"{name}_int8"], [f"{name}_cast"], to=TensorProto.FLOAT))
        added.append(helper.make_node("Mul", [f"{name}_cast", f"{name}_scale_of_weight"], [name]))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*added, *nodes])
    return proto


def _output_axis(node: onnx.NodeProto, axes: int) -> int:
    """Along which axis of its weight the output channels of a layer lie."""
    if node.op_type == "Conv":
        return 0
    transposed = any(entry.name == "transB" and entry.i for entry in node.attribute)
    return 0 if node.op_type == "Gemm" and transposed else 1 if node.op_type == "ConvTranspose" else axes - 1
