"""What a layer gains from int8 by itself on this box: measured once for each pattern, and kept for all networks.

A pattern is an operator with its attributes and shapes. Networks are made of few of them, and one network's are another
one's, so that the search for a placement need not try again what is known to be of no use.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.bench.machine import this_machine
from mtl_edge.errors import ModelError
from mtl_edge.quantize.moves import Seconds
from mtl_edge.quantize.placement import quantizable_layers
from mtl_edge.quantize.race import Feeds, seconds_of
from mtl_edge.quantize.remembered import remembered_value
from mtl_edge.quantize.target import Target
from mtl_edge.quantize.weights import channel_axis
from mtl_edge.runtime import open_session
from mtl_edge.storage import sha256_of

_VERSION = 3
"""To be raised when what is measured changes."""
_ROUNDS = 3
_SCALE = np.float32(0.02)


class _Pattern(msgspec.Struct, frozen=True):
    """What decides on the latency of a layer: of its input and weight the shapes, and whether it has a bias."""

    op_type: str
    attributes: tuple[bytes, ...]
    source: tuple[int, ...]
    weight: tuple[int, ...]
    bias: bool


class _Kept(msgspec.Struct, frozen=True):
    """What is kept of a pattern."""

    value: Seconds | None


class Alone:
    """The layers of a network, each by itself.

    Args:
        prepared: the fp32 model, with a name for every node.
        target: the types of the int8 form.
        feeds: input name -> the samples of one run, whose shapes are those to measure with.
        folder: where times are kept; it need not exist. None keeps them for this object only.
    """

    def __init__(self, prepared: bytes, target: Target, feeds: Feeds, folder: Path | None) -> None:
        self._target, self._folder = target, folder
        self._patterns = _patterns(prepared, feeds)
        self._known: dict[_Pattern, Seconds | None] = {}

    def seconds(self, name: str) -> Seconds | None:
        """How long the layer of this name takes.

        None for what is no layer with weights, and for one that cannot be measured by itself.
        """
        pattern = self._patterns.get(name)
        if pattern is None:
            return None
        if pattern not in self._known:
            self._known[pattern] = self._kept(pattern)
        return self._known[pattern]

    def _kept(self, pattern: _Pattern) -> Seconds | None:
        def measure() -> _Kept:
            return _Kept(_measured(pattern, self._target))

        if self._folder is None:
            return measure().value
        return remembered_value(self._folder / f"{_key(pattern, self._target)}.json", _Kept, measure).value


def _patterns(prepared: bytes, feeds: Feeds) -> dict[str, _Pattern]:
    """Name of a layer -> its pattern, for those whose shapes are known once the inputs' are."""
    proto = onnx.load_from_string(prepared)
    for value in proto.graph.input:
        for dim, size in zip(value.type.tensor_type.shape.dim, feeds[value.name].shape, strict=False):
            dim.dim_value = size
    proto.graph.ClearField("value_info")
    graph = onnx.shape_inference.infer_shapes(proto).graph
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    found = {}
    for node in quantizable_layers(graph):
        source = shapes.get(node.input[0], ())
        if source and all(source):
            attributes = tuple(sorted(item.SerializeToString(deterministic=True) for item in node.attribute))
            bias = len(node.input) > 2 and node.input[2] in weights
            found[node.name] = _Pattern(node.op_type, attributes, source, weights[node.input[1]], bias)
    return found


def _measured(pattern: _Pattern, target: Target) -> Seconds | None:
    """The shortest times of some, or None where the runtime does not take the layer by itself."""
    rng = np.random.default_rng(0)
    activation = helper.tensor_dtype_to_np_dtype(_tensor_type(target.activation))
    x = rng.integers(0, 127, pattern.source).astype(activation)
    try:
        sessions = [open_session(_layer(pattern, target, int8=int8), threads=1) for int8 in (True, False)]
        feeds: list[Mapping[str, np.ndarray]] = [{"x": x}, {"x": x.astype(np.float32) * _SCALE}]
        for session, fed in zip(sessions, feeds, strict=True):
            session.run(None, dict(fed))
    except (ModelError, RuntimeError, ValueError):
        return None
    rounds = [[seconds_of(session, fed) for session, fed in zip(sessions, feeds, strict=True)] for _ in range(_ROUNDS)]
    return Seconds(*map(min, zip(*rounds, strict=True)))


def _layer(pattern: _Pattern, target: Target, *, int8: bool) -> bytes:
    """A model of this layer alone; in int8, 8-bit numbers come in and go out."""
    rng = np.random.default_rng(0)
    attributes = [onnx.AttributeProto.FromString(item) for item in pattern.attributes]
    layer = helper.make_node(pattern.op_type, ["x_float", "w", *(["b"] if pattern.bias else [])], ["y_float"])
    layer.attribute.extend(attributes)
    axis = channel_axis(layer, len(pattern.weight))
    channels = pattern.weight[axis]
    eight = rng.integers(-127, 128, pattern.weight).astype(np.int8)
    constants: dict[str, np.ndarray]
    if int8:
        kind = _tensor_type(target.activation)
        zero = np.zeros((), helper.tensor_dtype_to_np_dtype(kind))
        scales = np.full(channels, _SCALE)
        constants = {
            "w_8": eight,
            "w_scale": scales,
            "w_zero": np.zeros(channels, np.int8),
            "scale": np.asarray(_SCALE),
            "zero": zero,
        }
        nodes = [
            helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["x_float"]),
            helper.make_node("DequantizeLinear", ["w_8", "w_scale", "w_zero"], ["w"], axis=axis),
        ]
        if pattern.bias:
            constants |= {"b_32": np.zeros(channels, np.int32), "b_scale": scales * _SCALE}
            nodes.append(helper.make_node("DequantizeLinear", ["b_32", "b_scale"], ["b"], axis=0))
        nodes += [layer, helper.make_node("QuantizeLinear", ["y_float", "scale", "zero"], ["y"])]
    else:
        kind = TensorProto.FLOAT
        constants = {"w": eight * _SCALE} | ({"b": np.zeros(channels, np.float32)} if pattern.bias else {})
        layer.input[0], layer.output[0] = "x", "y"
        nodes = [layer]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", kind, pattern.source)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _tensor_type(quantized: Any) -> int:
    return int(quantized.tensor_type)


def _key(pattern: _Pattern, target: Target) -> str:
    """The pattern, the processor and the runtime."""
    machine = this_machine()
    circumstances = (_VERSION, target.name, machine.cpu, machine.isa, machine.versions["onnxruntime"])
    return sha256_of(msgspec.json.encode(pattern), msgspec.json.encode(circumstances))
