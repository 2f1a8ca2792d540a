"""What makes the channels of a tensor, in fp32 and in Q/DQ form alike, so that some of them can be taken off."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from mtl_edge.graph import fresh_name, readers_of
from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.weights import channel_axis

ACTIVATIONS = frozenset(
    ("Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Tanh")
)
"""They do the same to every number of a tensor."""
PRODUCTS = frozenset(("Gemm", "MatMul"))

_ELEMENTWISE = ACTIVATIONS | {"DequantizeLinear", "QuantizeLinear"}


@dataclass(frozen=True)
class Constant:
    """A constant that a node reads, as it is or through a ``DequantizeLinear``.

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
    axis: int = 0

    def is_zero(self) -> np.ndarray:
        """Which of the values stand for zero."""
        if self.zero is None:
            return np.asarray(self.values == 0)
        shape = [-1 if axis == self.axis % self.values.ndim else 1 for axis in range(self.values.ndim)]
        return np.asarray(self.values == (self.zero.reshape(shape) if self.zero.size > 1 else self.zero.reshape(())))

    def take(self, graph: onnx.GraphProto, kept: np.ndarray, along: int) -> None:
        """Give the node a constant of some channels in its place; what others read stays."""
        fresh = add_constant(graph, self.node.input[self.position], np.take(self.values, kept, axis=along))
        if self.dequantize is None:
            self.node.input[self.position] = fresh
            return
        node = onnx.NodeProto.FromString(self.dequantize.SerializeToString())
        node.input[0], node.output[0] = fresh, fresh_name(graph, node.output[0])
        if self.axis % self.values.ndim == along:
            for index, each in ((1, self.scale), (2, self.zero)):
                if each is not None and each.size > 1:
                    node.input[index] = add_constant(graph, node.input[index], each[kept])
        graph.node.insert(list(graph.node).index(self.node), node)
        self.node.input[self.position] = node.output[0]


class Makers:
    """The nodes of a graph by what they make, as they are now: whoever changes the graph asks another one."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.node = {name: node for node in graph.node for name in node.output}
        self.constants = constants_of(graph)
        self.readers = readers_of(graph)

    def weight(self, node: onnx.NodeProto) -> Constant | None:
        """The constant weight of a layer whose channels are each by themselves; None for any other node."""
        grouped = any(item.name == "group" and item.i != 1 for item in node.attribute)
        transposed = any(item.name == "transA" and item.i for item in node.attribute)
        if node.op_type not in (*PRODUCTS, "Conv") or grouped or transposed:
            return None
        found = self._constant(node, 1)
        if found is None or (found.dequantize is None and self.readers[node.input[1]] != 1):
            return None  # shared floats stay: a copy of some would come beside them
        return found if (found.values.ndim > 2) == (node.op_type == "Conv") else None

    def channels(self, name: str, count: int) -> tuple[onnx.NodeProto, list[tuple[Constant, int]]] | None:
        """The layer that makes so many channels, and all constants of one value for each, with the axis along which.

        Between the layer and the tensor, which serves one reader only, stands nothing but its bias and what treats all
        channels alike. None where that is not so.
        """
        found: list[tuple[Constant, int]] = []
        while (node := self.node.get(name)) is not None and self.readers[name] == 1:
            if (weight := self.weight(node)) is not None:
                found.append((weight, channel_axis(node, weight.values.ndim)))
                if len(node.input) > 2 and node.input[2]:
                    bias = self._constant(node, 2)
                    if bias is None or bias.values.ndim != 1:
                        return None
                    found.append((bias, 0))
                along_channels = node.op_type in PRODUCTS or all(part.node.op_type != "Add" for part, _ in found)
                fits = all(part.values.shape[axis] == count for part, axis in found)
                return (node, found) if along_channels and fits else None
            if node.op_type == "Add":
                at = next((index for index, each in enumerate(node.input) if each in self.constants), None)
                if at is None or self.constants[node.input[at]].ndim != 1:
                    return None
                found.append((Constant(node, at, None, self.constants[node.input[at]]), 0))
                name = node.input[1 - at]
                continue
            others = (self.constants.get(other) for other in node.input[1:] if other)
            if node.op_type not in _ELEMENTWISE or any(other is None or other.size != 1 for other in others):
                return None
            name = node.input[0]
        return None

    def _constant(self, node: onnx.NodeProto, position: int) -> Constant | None:
        name = node.input[position]
        if name in self.constants:
            return Constant(node, position, None, self.constants[name])
        maker = self.node.get(name)
        if maker is None or maker.op_type != "DequantizeLinear" or any(x not in self.constants for x in maker.input):
            return None
        values, scale, *zero = (self.constants[each] for each in maker.input)
        axis = next((item.i for item in maker.attribute if item.name == "axis"), 1) if values.ndim > 1 else 0
        return Constant(node, position, maker, values, scale, zero[0] if zero else None, axis)


def split_axis(split: onnx.NodeProto) -> int:
    """Along which axis a ``Split`` parts a tensor."""
    return next((int(item.i) for item in split.attribute if item.name == "axis"), 0)


def add_constant(graph: onnx.GraphProto, name: str, values: np.ndarray) -> str:
    """Add a constant under a name like this one, and give that name."""
    fresh = fresh_name(graph, name)
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), fresh))
    return fresh
