"""Channels that nobody needs any more, taken off the layers that make them: what tasks leave behind that are gone."""

import numpy as np
import onnx

from mtl_edge.optimize.channels import PRODUCTS, Makers, add_constant, split_axis
from mtl_edge.quantize.weights import channel_axis


def narrow_layers(graph: onnx.GraphProto) -> None:
    """Take off what a ``Split`` gives to nobody, and what the next layer multiplies by zero; in place.

    The latter is what is left of layers that stand behind merged ones, whose weights are blocks along a diagonal. Sums
    lose nothing but zeros, so outputs stay the same but for how kernels may order their sums. Weights, scales and zero
    points of each channel go along.
    """
    while _narrow_one(graph):
        pass


def _narrow_one(graph: onnx.GraphProto) -> bool:
    """Narrow the first layer that can be narrowed; whether there was one."""
    makers = Makers(graph)
    return any(
        _without_unread(graph, node, makers) if node.op_type == "Split" else _without_unused(graph, node, makers)
        for node in list(graph.node)
    )


def _without_unread(graph: onnx.GraphProto, split: onnx.NodeProto, makers: Makers) -> bool:
    """Take off the channels of parts that nobody reads."""
    sizes = makers.constants.get(split.input[1]) if len(split.input) > 1 else None
    used = [index for index, name in enumerate(split.output) if makers.readers[name]]
    if sizes is None or len(used) == len(split.output):
        return False
    starts = np.cumsum([0, *sizes])
    made = makers.channels(split.input[0], int(starts[-1]))
    if made is None:
        return False
    layer, constants = made
    if split_axis(split) not in {"Conv": (1,), "Gemm": (1, -1), "MatMul": (-1,)}[layer.op_type]:
        return False
    kept = np.concatenate([np.arange(starts[index], starts[index + 1]) for index in used])
    for constant, axis in constants:
        constant.take(graph, kept, axis)
    if len(used) == 1:
        makers.node[split.input[0]].output[0] = split.output[used[0]]
        graph.node.remove(split)
    else:
        split.input[1] = add_constant(graph, split.input[1], sizes[used])
        split.output[:] = [split.output[index] for index in used]
    return True


def _without_unused(graph: onnx.GraphProto, reader: onnx.NodeProto, makers: Makers) -> bool:
    """Take off the channels that a layer reads and gives no weight."""
    weight = makers.weight(reader)
    if weight is None:
        return False
    along = 1 if reader.op_type == "Conv" else 1 - channel_axis(reader, 2)
    others = tuple(axis for axis in range(weight.values.ndim) if axis != along)
    used = np.flatnonzero(~weight.is_zero().all(axis=others))
    count = weight.values.shape[along]
    made = makers.channels(reader.input[0], count) if 0 < len(used) < count else None
    if made is None:
        return False
    layer, constants = made
    if layer.op_type != reader.op_type and not {layer.op_type, reader.op_type} <= PRODUCTS:
        return False
    for constant, axis in constants:
        constant.take(graph, used, axis)
    weight.take(graph, used, along)
    return True
