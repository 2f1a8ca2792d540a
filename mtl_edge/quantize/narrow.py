"""Weights that cannot saturate sums of two products: on x86 without VNNI they give what they give everywhere.

The usual remedy takes a bit from all weights of all layers. It is enough that two neighbours of the same sign do not
add up to more than 128, and most channels miss that by little or not at all: only those are scaled down, each by what
it needs.
"""

from collections.abc import Mapping

import msgspec
import numpy as np
import onnx

from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.saturation import HIGHEST, pair_bounds

_QMAX = 127

ChannelEnds = tuple[int, np.ndarray]
"""The axis of a weight's channels, and the largest magnitude of each to provide for."""


class Narrowed(msgspec.Struct, frozen=True):
    """A layer whose weights have fewer than 8 bits.

    Attributes:
        layer: name of its node.
        channels: how many of its output channels were scaled down.
        of: how many it has.
        bits: of the channel that was scaled down most; 7 at the least.
    """

    layer: str
    channels: int
    of: int
    bits: float


class Narrowing(msgspec.Struct, frozen=True):
    """What to do to the weights of a model.

    Attributes:
        ranges: weight -> the axis of its channels, and each one's largest magnitude to provide for.
        layers: those that are concerned.
    """

    ranges: Mapping[str, ChannelEnds]
    layers: tuple[Narrowed, ...]


def narrowing(graph: onnx.GraphProto, excluded: set[str]) -> Narrowing:
    """Find the channels whose 8-bit weights could saturate, and how far to scale them down.

    Args:
        graph: of a prepared fp32 model.
        excluded: nodes that stay in float.
    """
    constants = constants_of(graph)
    ranges: dict[str, ChannelEnds] = {}
    layers = []
    for node in graph.node:
        weight = constants.get(node.input[1]) if len(node.input) > 1 and node.name not in excluded else None
        found = _columns(node, weight) if weight is not None and weight.dtype == np.float32 else None
        if found is None:
            continue
        axis, columns = found
        largest = np.abs(columns).max(0, initial=0)
        wanted = _safe_ranges(columns, largest)
        changed = wanted > largest
        if changed.any():
            bits = 8 - float(np.log2((wanted[changed] / largest[changed]).max()))
            layers.append(Narrowed(node.name, int(changed.sum()), len(changed), bits))
        if changed.any():
            known = ranges.get(node.input[1])  # of another layer with the same weights
            ranges[node.input[1]] = (axis, np.maximum(known[1], wanted) if known and known[0] == axis else wanted)
    return Narrowing(ranges, tuple(layers))


def _safe_ranges(columns: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """For each column of ``(K, N)`` the smallest range whose weights in 8 bits cannot saturate."""
    scales = np.where(largest > 0, largest, 1) / _QMAX
    quantized = np.rint(columns / scales).astype(np.int8)
    padded = np.pad(columns, ((0, len(columns) % 2), (0, 0))).reshape(-1, 2, columns.shape[1])
    pairs = np.maximum(np.maximum(padded, 0).sum(1), np.maximum(-padded, 0).sum(1)).max(0, initial=0)
    # Two weights scaled so that they add up to 127 are rounded to 128 at most, and 255 * 128 fits.
    safe: np.ndarray = np.where(pair_bounds(quantized).max(0, initial=0) > HIGHEST, pairs, largest)
    return safe


def saturating_channels(node: onnx.NodeProto, quantized: np.ndarray) -> np.ndarray | None:
    """Which channels have 8-bit weights whose sums of two products could saturate, ``(N,)``; None if no kernel does.

    Args:
        node: of a prepared fp32 model.
        quantized: its weights as whole numbers from -127 to 127, in the graph's shape.
    """
    found = _columns(node, quantized)
    if found is None:
        return None
    cut: np.ndarray = pair_bounds(found[1].astype(np.int8)).max(0, initial=0) > HIGHEST
    return cut


def _columns(node: onnx.NodeProto, weight: np.ndarray) -> tuple[int, np.ndarray] | None:
    """The axis of a layer's output channels, and its weights ``(K, N)`` in the order in which its kernel adds them."""
    if weight.ndim < 2:
        return None
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    weight = weight.astype(np.float64)
    match node.op_type:
        case "Conv":
            if attributes.get("group", 1) == weight.shape[0] and weight.shape[1] == 1 and weight.shape[0] > 1:
                return None  # depthwise: kernels that do not saturate
            return 0, np.moveaxis(weight, 1, -1).reshape(weight.shape[0], -1).T
        case "Gemm":
            return (0, weight.T) if attributes.get("transB", 0) else (1, weight)
        case "MatMul" if weight.ndim == 2:
            return 1, weight
    return None
