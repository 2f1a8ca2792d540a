"""Channels that the layer after them multiplies by zero, taken off both: what is left of heads that were merged."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from mtl_edge.graph import fresh_name, readers_of
from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.weights import channel_axis

_PRODUCTS = frozenset(("Gemm", "MatMul"))
_ELEMENTWISE = frozenset(
    ("Clip", "DequantizeLinear", "Elu", "LeakyRelu", "QuantizeLinear", "Relu", "Sigmoid", "Softplus", "Tanh")
)


@dataclass(frozen=True)
class _Constant:
    """A constant that a node reads, as it is or through a ``DequantizeLinear`` of its own.

    Attributes:
        node: what reads it.
        position: as which of its inputs.
        dequantize: what stands between, if anything does.
        values: floats, or the numbers of 8 or 32 bits.
        scale: of the numbers, for all or for each channel of an axis; None for floats.
        zero: their zero point, likewise.
        axis: that axis.
    """

    node: onnx.NodeProto
    position: int
    dequantize: onnx.NodeProto | None
    values: np.ndarray
    scale: np.ndarray | None = None
    zero: np.ndarray | None = None
    axis: int = 1

    def is_zero(self) -> np.ndarray:
        """Which of the values stand for zero."""
        if self.zero is None:
            return np.asarray(self.values == 0)
        shape = [-1 if axis == self.axis % self.values.ndim else 1 for axis in range(self.values.ndim)]
        return np.asarray(self.values == (self.zero.reshape(shape) if self.zero.size > 1 else self.zero.reshape(())))

    def take(self, graph: onnx.GraphProto, kept: np.ndarray, along: int) -> None:
        """Give the node a constant of some channels in its place; what others read stays."""
        fresh = _added(graph, self.node.input[self.position], np.take(self.values, kept, axis=along))
        if self.dequantize is None:
            self.node.input[self.position] = fresh
            return
        node = onnx.NodeProto.FromString(self.dequantize.SerializeToString())
        node.input[0], node.output[0] = fresh, fresh_name(graph, node.output[0])
        if self.axis % self.values.ndim == along:
            for index, each in ((1, self.scale), (2, self.zero)):
                if each is not None and each.size > 1:
                    node.input[index] = _added(graph, node.input[index], each[kept])
        graph.node.insert(list(graph.node).index(self.node), node)
        self.node.input[self.position] = node.output[0]


def drop_unused_channels(graph: onnx.GraphProto) -> None:
    """Take channels off every layer that nothing but another layer reads, and that this one gives no weight; in place.

    Sums lose nothing but zeros, so outputs stay the same but for how kernels may order their sums.
    """
    while any(_shrink(graph, reader) for reader in list(graph.node)):
        pass


def _shrink(graph: onnx.GraphProto, reader: onnx.NodeProto) -> bool:
    """Take off what one layer does not use; whether there was anything."""
    makers = {name: node for node in graph.node for name in node.output}
    constants = constants_of(graph)
    weight = _weight(reader, makers, constants)
    if weight is None:
        return False
    along = 1 if reader.op_type == "Conv" else 1 - channel_axis(reader, 2)
    others = tuple(axis for axis in range(weight.values.ndim) if axis != along)
    used = np.flatnonzero(~weight.is_zero().all(axis=others))
    if not 0 < len(used) < weight.values.shape[along]:
        return False
    made = _made(graph, reader, makers, constants, weight.values.shape[along])
    for constant, axis in made:
        constant.take(graph, used, axis)
    if made:
        weight.take(graph, used, along)
    return bool(made)


def _made(
    graph: onnx.GraphProto,
    reader: onnx.NodeProto,
    makers: Mapping[str, onnx.NodeProto],
    constants: Mapping[str, np.ndarray],
    count: int,
) -> list[tuple[_Constant, int]]:
    """What makes so many channels for a layer and for nothing else, each with its axis; empty if that is not known."""
    readers, found = readers_of(graph), list[tuple[_Constant, int]]()
    name = reader.input[0]
    while (node := makers.get(name)) is not None and readers[name] == 1:
        if (weight := _weight(node, makers, constants)) is not None:
            axis = channel_axis(node, weight.values.ndim)
            alike = node.op_type == reader.op_type or {node.op_type, reader.op_type} <= _PRODUCTS
            found.append((weight, axis))
            if len(node.input) > 2 and node.input[2]:
                bias = _constant(node, 2, makers, constants)
                if bias is None or bias.values.ndim != 1:
                    return []
                found.append((bias, 0))
            sizes = {constant.values.shape[along] for constant, along in found}
            return found if alike and sizes == {count} else []
        if node.op_type == "Add" and reader.op_type in _PRODUCTS:
            position = next((index for index, each in enumerate(node.input) if each in constants), None)
            if position is None or constants[node.input[position]].ndim != 1:
                return []
            found.append((_Constant(node, position, None, constants[node.input[position]]), 0))
            name = node.input[1 - position]
            continue
        alone = all(not other or (other in constants and constants[other].size == 1) for other in node.input[1:])
        if node.op_type not in _ELEMENTWISE or not alone:
            return []
        name = node.input[0]
    return []


def _weight(
    node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto], constants: Mapping[str, np.ndarray]
) -> _Constant | None:
    """The constant weight of a layer whose channels are each by themselves."""
    grouped = any(item.name == "group" and item.i != 1 for item in node.attribute)
    transposed = any(item.name == "transA" and item.i for item in node.attribute)
    if node.op_type not in (*_PRODUCTS, "Conv") or grouped or transposed:
        return None
    found = _constant(node, 1, makers, constants)
    return found if found is not None and found.values.ndim >= (3 if node.op_type == "Conv" else 2) else None


def _constant(
    node: onnx.NodeProto, position: int, makers: Mapping[str, onnx.NodeProto], constants: Mapping[str, np.ndarray]
) -> _Constant | None:
    name = node.input[position]
    if name in constants:
        return _Constant(node, position, None, constants[name])
    maker = makers.get(name)
    if maker is None or maker.op_type != "DequantizeLinear" or any(each not in constants for each in maker.input):
        return None
    values, scale, *zero = (constants[each] for each in maker.input)
    axis = next((item.i for item in maker.attribute if item.name == "axis"), 1)
    return _Constant(node, position, maker, values, scale, zero[0] if zero else None, axis if values.ndim > 1 else 0)


def _added(graph: onnx.GraphProto, name: str, values: np.ndarray) -> str:
    fresh = fresh_name(graph, name)
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), fresh))
    return fresh
