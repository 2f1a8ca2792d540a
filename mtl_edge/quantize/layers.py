"""The layers of a prepared fp32 graph whose weights are constant, as matrix products."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from mtl_edge.graph import readers_of
from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.weights import channel_axis
from mtl_edge.quantize.windows import windows_of


@dataclass(frozen=True)
class Layer:
    """A ``Conv``, ``Gemm`` or ``MatMul`` with weights that no other node reads.

    Attributes:
        node: as it stands in the graph.
        weight: its weights, float32, in the graph's shape.
        attributes: the node's.
    """

    node: onnx.NodeProto
    weight: np.ndarray
    attributes: Mapping[str, Any]

    @property
    def source(self) -> str:
        """Name of the activations that come in."""
        return str(self.node.input[0])

    @property
    def weight_name(self) -> str:
        """Name of its weights."""
        return str(self.node.input[1])

    @property
    def bias_name(self) -> str:
        """Name of its bias; empty where it has none."""
        return str(self.node.input[2]) if len(self.node.input) > 2 else ""

    @property
    def axis(self) -> int:
        """Along which axis of the weights the output channels lie."""
        return channel_axis(self.node, self.weight.ndim)

    @property
    def groups(self) -> int:
        """How many groups of channels do not see each other."""
        return int(self.attributes.get("group", 1))

    def channels_of(self, answer: np.ndarray) -> np.ndarray:
        """The layer's output as ``(values, channels)``."""
        if self.node.op_type == "Conv":
            answer = np.moveaxis(answer, 1, -1)
        return answer.reshape(-1, answer.shape[-1])

    def matrices(self, weight: np.ndarray) -> np.ndarray:
        """Weights, or anything of their shape, as one matrix ``(G, K, N)`` for each group."""
        if self.node.op_type != "Conv":
            return (weight.T if self.axis == 0 else weight)[None]
        split = weight.reshape(self.groups, weight.shape[0] // self.groups, -1)
        return split.transpose(0, 2, 1)

    def weights_of(self, matrices: np.ndarray) -> np.ndarray:
        """The other way round: from ``(G, K, N)`` to the shape of the weights."""
        if self.node.op_type != "Conv":
            weight: np.ndarray = matrices[0].T if self.axis == 0 else matrices[0]
            return weight
        return matrices.transpose(0, 2, 1).reshape(self.weight.shape)

    @property
    def inputs(self) -> int:
        """How many channels come in."""
        conv = self.node.op_type == "Conv"
        return int(self.weight.shape[1] * self.groups if conv else self.weight.shape[1 - self.axis])

    def per_output(self, values: np.ndarray) -> np.ndarray:
        """A number for each output channel, in a shape that broadcasts to the weights'."""
        shape = [1] * self.weight.ndim
        shape[self.axis] = -1
        return values.reshape(shape)

    def per_input(self, values: np.ndarray) -> np.ndarray:
        """A number for each channel that comes in, in a shape that broadcasts to the weights'."""
        if self.node.op_type != "Conv":
            return values.reshape((1, -1) if self.axis == 0 else (-1, 1))
        each = np.repeat(values.reshape(self.groups, -1), self.weight.shape[0] // self.groups, axis=0)
        return each.reshape(*each.shape, *[1] * (self.weight.ndim - 2))

    def largest_by_output(self, weight: np.ndarray) -> np.ndarray:
        """The largest magnitude among the weights of each output channel."""
        largest: np.ndarray = (
            np.abs(np.moveaxis(weight, self.axis, 0)).reshape(self.weight.shape[self.axis], -1).max(axis=1)
        )
        return largest

    def largest_by_input(self, weight: np.ndarray) -> np.ndarray:
        """The largest magnitude among the weights that each channel of the input is multiplied by."""
        # The rows of a group's matrix are its channels, with kernel positions within each.
        largest: np.ndarray = np.abs(self.matrices(weight)).reshape(self.inputs, -1).max(axis=1)
        return largest

    def rows(self, x: np.ndarray, most: int, chance: np.random.Generator) -> np.ndarray:
        """What output values sum over, ``(G, M, K)``: of all of them, or of as many as are wanted.

        Args:
            x: the layer's input.
            most: how many values of one channel to take.
            chance: decides which.
        """
        if self.node.op_type != "Conv":
            flat = x.reshape(-1, x.shape[-1])
            chosen_rows: np.ndarray = flat[_some(len(flat), most, chance)][None]
            return chosen_rows
        kernel = self.weight.shape[2:]
        windows = windows_of(x, kernel, self.attributes)
        places = (windows.shape[0], *windows.shape[2 : 2 + len(kernel)])
        chosen = np.unravel_index(_some(int(np.prod(places)), most, chance), places)
        rows = np.moveaxis(windows, 1, len(places))[tuple(chosen)]  # (M, C, kernel…)
        by_group: np.ndarray = rows.reshape(len(rows), self.groups, -1).transpose(1, 0, 2)
        return by_group


def layers_of(graph: onnx.GraphProto) -> list[Layer]:
    """The layers of a graph, in the order in which they run."""
    constants = constants_of(graph)
    readers = readers_of(graph)
    found = []
    for node in graph.node:
        weight = constants.get(node.input[1]) if len(node.input) > 1 else None
        if weight is None or weight.dtype != np.float32 or readers[node.input[1]] != 1:
            continue
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        product = node.op_type == "MatMul" or (node.op_type == "Gemm" and not attributes.get("transA", 0))
        if (node.op_type == "Conv" and weight.ndim > 2) or (product and weight.ndim == 2):
            found.append(Layer(node, weight, attributes))
    return found


def with_constants(model: bytes, values: Mapping[str, np.ndarray]) -> bytes:
    """The model with other values in some of its constants."""
    proto = onnx.load_from_string(model)
    for tensor in proto.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values[tensor.name].astype(np.float32), tensor.name))
    return bytes(proto.SerializeToString())


def _some(total: int, most: int, chance: np.random.Generator) -> np.ndarray:
    return np.arange(total) if total <= most else chance.choice(total, most, replace=False)
