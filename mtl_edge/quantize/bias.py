"""Bias correction: rounding shifts the mean of a layer's answers, and the layer's bias takes the shift off again.

Both models see the calibration data, and each channel of each layer keeps the sum of its answers and nothing else
(Nagel et al. 2019, arXiv:1906.04721, "empirical bias correction").
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnx

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
        build: quantizes a prepared model.
        batches: input name -> array; read once for the original, and once for every depth.

    Returns:
        The prepared model with other biases.

    Raises:
        ModelError: a model cannot be loaded.
        DataError: the data does not fit.
    """
    depths = _by_depth(onnx.load_from_string(prepared).graph)
    with progress_bar("biases", total=len(depths) + 1) as bar:
        wanted = _means(original, [layer for layers in depths for layer in layers], batches) if depths else {}
        bar.advance("fp32")
        for number, layers in enumerate(depths):
            found = _means(build(prepared), layers, batches)
            prepared = _shifted(prepared, {name: wanted[name] - found[name] for name in found})
            bar.advance(f"depth {number + 1}")
    return prepared


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


def _shifted(prepared: bytes, shifts: Mapping[str, np.ndarray]) -> bytes:
    """The model with something added to the answers of its layers."""
    proto = onnx.load_from_string(prepared)
    constants = constants_of(proto.graph)
    for node in proto.graph.node:
        if node.name not in shifts:
            continue
        shift = shifts[node.name]
        known = constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(1)
        if known is None or known.size not in (1, len(shift)):
            continue
        name = f"{node.name}_corrected_bias"
        bias = np.broadcast_to(known.reshape(-1), shift.shape) + shift
        kept = [tensor for tensor in proto.graph.initializer if tensor.name != name]
        del proto.graph.initializer[:]
        proto.graph.initializer.extend([*kept, onnx.numpy_helper.from_array(bias.astype(np.float32), name)])
        node.input[:] = [*node.input[:2], name]
    drop_unread_constants(proto.graph)
    return bytes(proto.SerializeToString())
