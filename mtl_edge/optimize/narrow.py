"""Channels that nobody reads any more, taken off the int8 layer before a ``Split``."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mtl_edge.graph import fresh_name, readers_of
from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.weights import channel_axis

_LAYERS = frozenset(("Conv", "Gemm", "MatMul"))
_ELEMENTWISE = frozenset(("Clip", "DequantizeLinear", "LeakyRelu", "QuantizeLinear", "Relu", "Sigmoid", "Tanh"))


def narrow_quantized(graph: onnx.GraphProto) -> None:
    """Narrow every layer in Q/DQ form whose channels go to a ``Split`` of which not all parts are read; in place.

    Weights, scales and zero points of each channel go along, so that what is left is the same to the bit.
    """
    for split in [node for node in graph.node if node.op_type == "Split" and len(node.input) > 1]:
        makers = {name: node for node in graph.node for name in node.output}
        constants, readers = constants_of(graph), readers_of(graph)
        sizes = constants.get(split.input[1])
        used = [index for index, name in enumerate(split.output) if readers[name]]
        layer = _layer_before(split.input[0], makers, constants, readers)
        if layer is None or sizes is None or len(used) == len(split.output):
            continue
        starts = np.cumsum([0, *sizes])
        if _axis(split) not in (1, -1) or (layer.op_type == "Conv" and _axis(split) != 1):
            continue
        channels = np.concatenate([np.arange(starts[index], starts[index + 1]) for index in used])
        if not _take(graph, layer, makers, constants, channels, int(starts[-1])):
            continue
        if len(used) == 1:
            alone = split.output[used[0]]
            makers[split.input[0]].output[0] = alone
            graph.node.remove(split)
        else:
            split.input[1] = _constant(graph, split.input[1], sizes[used])
            split.output[:] = [split.output[index] for index in used]


def _axis(split: onnx.NodeProto) -> int:
    return next((item.i for item in split.attribute if item.name == "axis"), 0)


def _layer_before(
    name: str, makers: Mapping[str, onnx.NodeProto], constants: Mapping[str, np.ndarray], readers: Mapping[str, int]
) -> onnx.NodeProto | None:
    """The layer that makes a tensor, with nothing but steps between that treat all channels alike and serve it only."""
    while (node := makers.get(name)) is not None and readers[name] == 1:
        if node.op_type in _LAYERS:
            return node
        alike = all(not other or (other in constants and constants[other].size == 1) for other in node.input[1:])
        if node.op_type not in _ELEMENTWISE or not alike:
            return None
        name = node.input[0]
    return None


def _take(
    graph: onnx.GraphProto,
    layer: onnx.NodeProto,
    makers: Mapping[str, onnx.NodeProto],
    constants: Mapping[str, np.ndarray],
    channels: np.ndarray,
    count: int,
) -> bool:
    """Leave a layer these of its channels; whether that could be done."""
    attributes = {item.name: helper.get_attribute_value(item) for item in layer.attribute}
    sources = [makers.get(name) for name in layer.input[1:]]
    if attributes.get("group", 1) != 1 or not sources or any(not _is_constant(node, constants) for node in sources):
        return False
    quantized = [node for node in sources if node is not None]
    axis = channel_axis(layer, constants[quantized[0].input[0]].ndim)
    if constants[quantized[0].input[0]].shape[axis] != count:
        return False
    for position, node in enumerate(quantized):
        wide = constants[node.input[0]]
        along = axis if position == 0 else 0
        if wide.shape[along : along + 1] != (count,):
            return False
        fresh = onnx.NodeProto.FromString(node.SerializeToString())
        fresh.output[0] = fresh_name(graph, node.output[0])
        fresh.input[0] = _constant(graph, node.input[0], np.take(wide, channels, axis=along))
        for index in range(1, len(node.input)):
            each = constants[node.input[index]]
            if each.size == count and each.ndim == 1:
                fresh.input[index] = _constant(graph, node.input[index], each[channels])
        graph.node.insert(list(graph.node).index(layer), fresh)
        layer.input[1 + position] = fresh.output[0]
    return True


def _is_constant(node: onnx.NodeProto | None, constants: Mapping[str, np.ndarray]) -> bool:
    return node is not None and node.op_type == "DequantizeLinear" and all(name in constants for name in node.input)


def _constant(graph: onnx.GraphProto, name: str, values: np.ndarray) -> str:
    """Add a constant under a name like this one; what others read stays."""
    fresh = fresh_name(graph, name)
    graph.initializer.append(numpy_helper.from_array(values, fresh))
    return fresh
