"""Which nodes go to the other side together, int8 or float, and which of these moves could make a network faster.

To time a move takes a tenth of a second, and a network has dozens. Most can be told to be of no use beforehand: where
all around a group is on its own side, to move it puts conversions on all its borders, and only what its layers gain by
themselves could make up for that.
"""

from collections.abc import Callable, Iterator
from math import prod

import msgspec
import onnx
from onnx import TensorProto

from mtl_edge.graph import names_read
from mtl_edge.quantize.audit import NEUTRAL
from mtl_edge.quantize.placement import ANSWER_IN_FLOAT, outputs_served
from mtl_edge.quantize.weights import LAYERS

_MOST_LAYERS = 48
_MUCH_SLOWER = 2.0
_FASTER = 0.8
_TABLE = 64
"""Values of a constant that are worth being looked up in 8 bits."""
_PASSIVE = NEUTRAL | {"Clip", "Relu"}
"""They only move values, or become part of the layer before: they gain nothing by themselves, on either side."""


class Seconds(msgspec.Struct, frozen=True):
    """How long a layer takes by itself, in int8 from 8-bit numbers to 8-bit numbers, and in float."""

    int8: float
    float32: float


class Moves:
    """The moves of a network.

    Args:
        graph: of the fp32 model, with a name for every node.
        movable: names of the nodes that could be in float or in int8.
        alone: name of a node -> how long it takes where it stands alone, as far as that is known.
    """

    def __init__(self, graph: onnx.GraphProto, movable: frozenset[str], alone: Callable[[str], Seconds | None]) -> None:
        self._nodes = {node.name: node for node in graph.node}
        self._order = [node.name for node in graph.node if node.name in movable]
        self._movable, self._alone = movable, alone
        self._serves = outputs_served(graph)
        self._beside = _neighbours(graph)
        weights = {
            tensor.name: prod(tensor.dims) for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT
        }
        self._sizes = {node.name: max((weights.get(name, 0) for name in node.input), default=0) for node in graph.node}

    def groups(self) -> Iterator[frozenset[str]]:
        """What moves together: all nodes of a kind, the nodes that serve the same outputs, and last single layers."""
        kinds: dict[str, set[str]] = {}
        serving: dict[frozenset[str], set[str]] = {}
        for name in self._order:
            node = self._nodes[name]
            depthwise = any(entry.name == "group" and entry.i > 1 for entry in node.attribute)
            kinds.setdefault(f"{node.op_type}{depthwise}", set()).add(name)
            serving.setdefault(self._serves[name], set()).add(name)
        layers = sorted(
            (name for name in self._order if self._sizes[name] >= _TABLE), key=lambda name: -self._sizes[name]
        )
        for group in (*kinds.values(), *serving.values(), *({name} for name in layers[:_MOST_LAYERS])):
            yield frozenset(group)

    def could_gain(self, group: frozenset[str], kept: frozenset[str], least: float) -> bool:
        """Whether a group's move to the other side could make the network faster.

        Args:
            group: nodes that move: to int8 if all of them are in float, or else all to float.
            kept: the nodes that are in float now, of those that could be in int8.
            least: seconds that the move must gain.
        """
        to_int8 = group <= kept
        moved = group if to_int8 else group - kept
        known = {name: time for name in moved if (time := self._alone(name)) is not None}
        if self._borders(moved, kept, to_int8=to_int8):  # conversions there would be gone
            ratios = [time.int8 / time.float32 for time in known.values()]
            return not ratios or (min(ratios) <= _MUCH_SLOWER if to_int8 else max(ratios) >= _FASTER)
        if any(self._works(name, to_int8=to_int8) for name in moved - known.keys()):
            return True
        gains = [time.float32 - time.int8 if to_int8 else time.int8 - time.float32 for time in known.values()]
        gain = sum(gain for gain in gains if gain > 0)
        return gain > 0 and gain >= least

    def _borders(self, moved: frozenset[str], kept: frozenset[str], *, to_int8: bool) -> bool:
        """Whether something beside them is where they would go; the graph's own inputs and outputs are in float."""
        around: frozenset[str] = frozenset().union(*(self._beside[name] for name in moved)) - moved
        in_int8 = {name for name in around if name in self._movable and name not in kept}
        return bool(in_int8) if to_int8 else bool(around - in_int8)

    def _works(self, name: str, *, to_int8: bool) -> bool:
        """Whether a node that cannot be timed alone might gain more by itself than the conversions around it cost.

        In 8 bits that is a layer with weights, or a table: everything else reads its inputs as often as a conversion.
        """
        return self._has_weights(name) or (not to_int8 and self._nodes[name].op_type not in _PASSIVE)

    def _has_weights(self, name: str) -> bool:
        size = self._sizes[name]
        return size >= _TABLE or (size > 1 and self._nodes[name].op_type in LAYERS)


def _neighbours(graph: onnx.GraphProto) -> dict[str, frozenset[str]]:
    """Node -> those that it reads from or that read from it.

    ``""`` stands for the graph's inputs, and for its outputs where to give them in float takes a conversion.
    """
    constants = {tensor.name for tensor in graph.initializer} | {""}
    makers = {name: node.name for node in graph.node for name in node.output}
    outside = {value.name for value in graph.output}
    found: dict[str, set[str]] = {node.name: set() for node in graph.node}
    for node in graph.node:
        for name in set(names_read(node)) - constants:
            maker = makers.get(name, "")
            found[node.name].add(maker)
            if maker:
                found[maker].add(node.name)
        if outside & set(node.output) and node.op_type not in ANSWER_IN_FLOAT:
            found[node.name].add("")
    return {name: frozenset(beside) for name, beside in found.items()}
