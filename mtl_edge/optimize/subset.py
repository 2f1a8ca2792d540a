"""Some tasks of a model: the graph of their outputs, with nothing in it that only others need."""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import numpy_helper

from mtl_edge.errors import ModelError
from mtl_edge.optimize.graph import drop_dead, has_graphs_within, readers_of
from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.layers import Layer, layers_of


def cut_outputs(model: bytes, names: Collection[str]) -> bytes:
    """Keep some outputs of a model, in its order, and only what they are computed from.

    A layer of several tasks, as :mod:`mtl_edge.optimize.merge` makes them, loses the channels of those that go. What
    the network itself computes for all tasks at once, such as the gates of a mixture of experts, stays whole.

    Args:
        model: a serialized fp32 model.
        names: of the outputs to keep.

    Raises:
        ModelError: no name is given, or one that no output has.
    """
    proto = onnx.load_from_string(model)
    graph = proto.graph
    present = [output.name for output in graph.output]
    if unknown := [name for name in names if name not in present]:
        raise ModelError(f"subset: must name outputs of the model ({', '.join(present)}), found {unknown[0]!r}")
    if not names:
        raise ModelError(f"subset: must name at least one output of the model ({', '.join(present)}), found none")
    for output in [output for output in graph.output if output.name not in names]:
        graph.output.remove(output)
    drop_dead(graph)
    if not has_graphs_within(graph):
        layers = {str(layer.node.output[0]): layer for layer in layers_of(graph)}
        for split in [node for node in graph.node if node.op_type == "Split"]:
            _narrow(graph, split, layers)
        drop_dead(graph)
    return bytes(proto.SerializeToString())


def _narrow(graph: onnx.GraphProto, split: onnx.NodeProto, layers: dict[str, Layer]) -> None:
    """Take channels that nobody reads off the layer before a ``Split``; in place."""
    constants, readers = constants_of(graph), readers_of(graph)
    sizes = constants.get(split.input[1]) if len(split.input) > 1 else None
    used = [index for index, name in enumerate(split.output) if readers[name]]
    chain = _up_to_layer(graph, split.input[0], layers)
    if sizes is None or chain is None or len(used) == len(split.output):
        return
    layer = layers[chain[0].output[0]]
    axis = next((item.i for item in split.attribute if item.name == "axis"), 0)
    if axis != (-1 if layer.node.op_type == "MatMul" else 1):
        return
    starts = np.cumsum([0, *sizes])
    channels = np.concatenate([np.arange(starts[index], starts[index + 1]) for index in used])
    replaced = {layer.weight_name: np.take(layer.weight, channels, axis=layer.axis)}
    bias = layer.bias_name or next((name for node in chain[1:2] for name in node.input if name in constants), "")
    if bias and constants[bias].shape == (int(starts[-1]),):
        replaced[bias] = constants[bias][channels]
    for name, values in replaced.items():
        _replace(graph, name, values)
    if len(used) == 1:
        chain[-1].output[0] = split.output[used[0]]
        graph.node.remove(split)
    else:
        _replace(graph, split.input[1], sizes[used])
        split.output[:] = [split.output[index] for index in used]


def _up_to_layer(graph: onnx.GraphProto, name: str, layers: dict[str, Layer]) -> list[onnx.NodeProto] | None:
    raise NotImplementedError


def _replace(graph: onnx.GraphProto, name: str, values: np.ndarray) -> None:
    raise NotImplementedError


_ = numpy_helper
