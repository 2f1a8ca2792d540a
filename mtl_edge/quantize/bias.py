"""Bias correction: rounding shifts the mean of a layer's answers, and the layer's bias takes the shift off again.

Both models see the calibration data, and each channel of each layer keeps the sum of its answers and nothing else
(Nagel et al. 2019, arXiv:1906.04721, "empirical bias correction").
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mtl_edge.graph import drop_unread_constants
from mtl_edge.progress import progress_bar
from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.layers import Layer, layers_of
from mtl_edge.quantize.taps import tapped


def correct_biases(
    prepared: bytes,
    original: bytes,
    build: Callable[[bytes], bytes],
    batches: Iterable[Mapping[str, np.ndarray]],
) -> bytes:
    """Give layers the biases with which the int8 model answers as the fp32 model does, in the mean.

    Layers are corrected in the order in which they run, those of the same depth together: what an earlier one shifts is
    gone before a later one is looked at, and would be taken off twice otherwise. A layer without a bias gets one; only
    a ``MatMul`` does not, for which it would be one more operator in every run.

    Args:
        prepared: the fp32 model to quantize.
        original: the fp32 model with the same layers whose means are wanted.
        build: quantizes a prepared model; the scales of biases follow from those of inputs and weights.
        batches: input name -> array; read once for the original, and once for every depth.

    Returns:
        The prepared model with other biases.

    Raises:
        ModelError: a model cannot be loaded.
        DataError: the data does not fit.
    """
    depths = _by_depth(onnx.load_from_string(prepared).graph)
    if not depths:
        return prepared
    every = [layer for layers in depths for layer in layers]
    corrected = _with_biases(prepared, every)
    biased = {node.name for node in corrected.graph.node if node.input[2:] == [_bias_of(node.name)]}
    int8 = onnx.load_from_string(build(corrected.SerializeToString()))  # written once: only its biases change
    _own_biases(int8.graph, biased)
    with progress_bar("biases", total=len(depths) + 1) as bar:
        wanted = _means(original, every, batches)
        bar.advance("fp32")
        for number, layers in enumerate(depths):
            found = _means(int8.SerializeToString(), layers, batches)
            for name in found.keys() & biased:
                _shift(corrected.graph, int8.graph, name, wanted[name] - found[name])
            bar.advance(f"depth {number + 1}")
    return bytes(corrected.SerializeToString())


def _by_depth(graph: onnx.GraphProto) -> list[list[Layer]]:
    """The layers that can have a bias; first those before which there is no other, then those that read of them."""
    layers = {layer.node.name: layer for layer in layers_of(graph) if layer.node.op_type != "MatMul"}
    depth: dict[str, int] = {}
    found: list[list[Layer]] = []
    for node in graph.node:
        before = max((depth.get(name, 0) for name in node.input), default=0)
        layer = layers.get(node.name)
        if layer is not None:
            found += [[]] * (before == len(found))
            found[before] = [*found[before], layer]
        depth.update(dict.fromkeys(node.output, before + (layer is not None)))
    return found


def _means(model: bytes, layers: Sequence[Layer], batches: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Name of a layer's node -> the mean of each channel of its answers, before what is done to them."""
    answers = {node.name: node.output[0] for node in onnx.load_from_string(model).graph.node}
    layers = [layer for layer in layers if layer.node.name in answers]
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}
    for seen in tapped(model, [answers[layer.node.name] for layer in layers], batches):
        for layer in layers:
            name = layer.node.name
            channels = layer.channels_of(seen[answers[name]])
            sums[name] = sums.get(name, 0.0) + channels.sum(axis=0, dtype=np.float64)
            counts[name] = counts.get(name, 0) + len(channels)
    return {name: total / counts[name] for name, total in sums.items()}


def _with_biases(model: bytes, layers: Sequence[Layer]) -> onnx.ModelProto:
    """The model in which each of these layers has a bias for every channel, but those whose bias is computed."""
    proto = onnx.load_from_string(model)
    constants = constants_of(proto.graph)
    channels = {layer.node.name: len(layer.largest_by_output(layer.weight).reshape(-1)) for layer in layers}
    for node in proto.graph.node:
        if node.name not in channels:
            continue
        known = constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(1)
        if known is None or known.size not in (1, channels[node.name]):
            continue
        bias = np.broadcast_to(known.reshape(-1), channels[node.name]).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(bias, _bias_of(node.name)))
        node.input[:] = [*node.input[:2], _bias_of(node.name)]
    drop_unread_constants(proto.graph)
    return proto


def _own_biases(int8: onnx.GraphProto, names: Collection[str]) -> None:
    """Let these layers of an int8 model have biases that no other layer reads, as equal ones are written once."""
    makers = {output: node for node in int8.node for output in node.output}
    constants = {tensor.name: tensor for tensor in int8.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in int8.node:
        if node.name in names:
            name, maker = _own_bias_of(node.name), makers.get(node.input[2])
            own = onnx.TensorProto()
            own.CopyFrom(constants[node.input[2] if maker is None else maker.input[0]])
            own.name = name
            int8.initializer.append(own)
            if maker is None:
                node.input[2] = name
            else:
                dequantize = onnx.NodeProto()
                dequantize.CopyFrom(maker)
                dequantize.name = dequantize.output[0] = node.input[2] = f"{name}_in_float"
                dequantize.input[0] = name
                nodes.append(dequantize)
        nodes.append(node)
    del int8.node[:]
    int8.node.extend(nodes)


def _shift(prepared: onnx.GraphProto, int8: onnx.GraphProto, layer: str, shift: np.ndarray) -> None:
    """Add something to a layer's answers in both forms of a model; in int8 a bias is a whole number of its scales."""
    own, stored = (
        next(tensor for tensor in graph.initializer if tensor.name == name)
        for graph, name in ((prepared, _bias_of(layer)), (int8, _own_bias_of(layer)))
    )
    bias = numpy_helper.to_array(own) + shift
    own.CopyFrom(numpy_helper.from_array(bias.astype(np.float32), own.name))
    dequantize = next((node for node in int8.node if stored.name in node.input[:1]), None)
    if dequantize is not None and dequantize.op_type == "DequantizeLinear":
        scale = next(tensor for tensor in int8.initializer if tensor.name == dequantize.input[1])
        bias = np.rint(bias / numpy_helper.to_array(scale))
    kind = helper.tensor_dtype_to_np_dtype(stored.data_type)
    stored.CopyFrom(numpy_helper.from_array(bias.astype(kind), stored.name))


def _bias_of(layer: str) -> str:
    return f"{layer}_corrected_bias"


def _own_bias_of(layer: str) -> str:
    return f"{_bias_of(layer)}_only"
