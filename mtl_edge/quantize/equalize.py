"""Cross-layer equalization: channels between two layers are scaled so that none drowns in the range of the others.

What a layer's channel is divided by, the next layer's weights for that channel are multiplied by: as long as only
positively homogeneous operators stand between, the network answers as before, but for rounding in fp32 (Nagel et al.
2019, arXiv:1906.04721).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx

from mtl_edge.graph import has_graphs_within
from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.layers import Layer, layers_of, with_constants

_ELEMENTWISE = ("Dropout", "Identity", "LeakyRelu", "Relu")
"""What an element is multiplied by, if it is positive, comes out again."""
_POOLS = ("AveragePool", "MaxPool")
_TO_POINTS = ("GlobalAveragePool", "GlobalMaxPool")
_TO_ROWS = ("Flatten", "Reshape", "Squeeze")
Form = Literal["map", "point", "row"]
"""Channels along the second axis, the same with one value each, or channels along the last axis."""
_ROUNDS = 50
_CONVERGED = 0.01
_MOST = 1e4
"""What a channel is scaled by at most: one that is nearly dead is not to be blown up."""


@dataclass(frozen=True)
class Junction:
    """A tensor that one layer makes, and that only layers read.

    Attributes:
        maker: its channels are divided.
        readers: their weights are multiplied.
    """

    maker: Layer
    readers: tuple[Layer, ...]


def equalize(prepared: bytes) -> bytes:
    """The prepared model with the same answers, and channels of like size; itself where there is nothing to scale."""
    graph = onnx.load_from_string(prepared).graph
    junctions = find_junctions(graph)
    if not junctions:
        return prepared
    weights: dict[str, np.ndarray] = {}
    for junction in junctions:
        for layer in (junction.maker, *junction.readers):
            weights[layer.weight_name] = layer.weight.astype(np.float64)
    total = [np.ones(junction.maker.weight.shape[junction.maker.axis]) for junction in junctions]
    for _ in range(_ROUNDS):
        largest = 0.0
        for position, junction in enumerate(junctions):
            factors = _factors(junction, weights)
            factors = np.clip(total[position] * factors, 1 / _MOST, _MOST) / total[position]
            total[position] *= factors
            _scale(junction, weights, factors)
            largest = max(largest, float(np.abs(np.log(factors)).max(initial=0)))
        if largest < _CONVERGED:
            break
    constants = constants_of(graph)
    biases = {
        junction.maker.bias_name: constants[junction.maker.bias_name].reshape(-1) / factors
        for junction, factors in zip(junctions, total, strict=True)
        if junction.maker.bias_name
    }
    shaped = {name: bias.reshape(constants[name].shape) for name, bias in biases.items()}
    return with_constants(prepared, weights | shaped)


def find_junctions(graph: onnx.GraphProto) -> list[Junction]:
    """The tensors whose channels can be scaled, in the order in which they are computed."""
    if has_graphs_within(graph):
        return []  # a graph within a graph may read what is outside of it
    layers = layers_of(graph)
    reach = _Reach(graph, layers)
    constants = constants_of(graph)
    found = []
    for maker in layers:
        after = reach.readers(maker.node.output[0], "map" if maker.node.op_type == "Conv" else "row")
        channels = maker.weight.shape[maker.axis]
        if after and reach.has_own_bias(maker, constants) and all(layer.inputs == channels for layer in after):
            found.append(Junction(maker, tuple(after)))
    return found


class _Reach:
    """Who reads what in a graph."""

    def __init__(self, graph: onnx.GraphProto, layers: Sequence[Layer]) -> None:
        self._layers = {layer.node.output[0]: layer for layer in layers}
        self._outputs = {value.name for value in graph.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def readers(self, name: str, form: Form) -> list[Layer]:
        """The layers that read a tensor, through homogeneous operators; none if anybody else does, too."""
        if name in self._outputs or name not in self._readers:
            return []
        found: list[Layer] = []
        for node in self._readers[name]:
            layer = self._layers.get(node.output[0])
            if layer is not None and layer.source == name and (layer.node.op_type == "Conv") == (form != "row"):
                found.append(layer)
                continue
            after = _form_after(node, form)
            further = self.readers(node.output[0], after) if after is not None and len(node.output) == 1 else []
            if not further:
                return []
            found += further
        return found

    def has_own_bias(self, layer: Layer, constants: Mapping[str, np.ndarray]) -> bool:
        """Whether its bias, if it has one, can be scaled with it."""
        name = layer.bias_name
        if not name:
            return True
        own = name in constants and len(self._readers[name]) == 1
        return own and constants[name].size == layer.weight.shape[layer.axis]


def _form_after(node: onnx.NodeProto, form: Form) -> Form | None:
    """Where channels lie after a node, if it treats them alike; else None."""
    if node.op_type in _ELEMENTWISE or (node.op_type in _POOLS and form != "row"):
        return form
    if node.op_type in _TO_POINTS and form != "row":
        return "point"
    return "row" if node.op_type in _TO_ROWS and form == "point" else None


def _factors(junction: Junction, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """What to divide the maker's channels by, so that its range and that of its readers become equal."""
    made = junction.maker.largest_by_output(weights[junction.maker.weight_name])
    read = np.max([layer.largest_by_input(weights[layer.weight_name]) for layer in junction.readers], axis=0)
    alive = (made > 0) & (read > 0)
    factors: np.ndarray = np.sqrt(np.where(alive, made, 1) / np.where(alive, read, 1))
    return factors


def _scale(junction: Junction, weights: dict[str, np.ndarray], factors: np.ndarray) -> None:
    maker = junction.maker
    weights[maker.weight_name] = weights[maker.weight_name] / maker.per_output(factors)
    for layer in junction.readers:
        weights[layer.weight_name] = weights[layer.weight_name] * layer.per_input(factors)
