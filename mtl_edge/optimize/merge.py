"""Layers side by side become one: a small network's time goes by nodes, not by multiplications.

The heads of several tasks, or the experts of a mixture, often begin with layers of the same kind on the same features.
One layer with the output channels of all, and a ``Split`` of what it computes, is the same function: each channel has
its weights, and sums over the same inputs. The layers that follow, each on a part of that ``Split``, become one as
well: its weights are theirs in blocks along the diagonal, and zeros elsewhere. Whether all of it is the same to the
last bit is up to the runtime's kernels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mtl_edge.graph import assumed_attributes, drop_dead, fresh_name, has_graphs_within, readers_of
from mtl_edge.optimize.channels import ACTIVATIONS, split_axis
from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.layers import Layer, layers_of

_SPLIT_AS_INPUT = 13
"""The operator set since which ``Split`` takes the sizes as a tensor."""


@dataclass(frozen=True)
class Branch:
    """A layer, and what is done to its output before another kind of node reads it.

    Attributes:
        layer: with its weights.
        bias: ``(channels,)``, or None.
        bias_at: which node of the chain reads it.
        chain: the layer's node, the ``Add`` of its bias where it has one, and its activation where it has one.
    """

    layer: Layer
    bias: np.ndarray | None
    bias_at: int
    chain: tuple[onnx.NodeProto, ...]

    @property
    def name(self) -> str:
        """What people call the layer."""
        return str(self.layer.node.name or self.layer.node.output[0])

    @property
    def bias_name(self) -> str:
        """Name of its bias; of no meaning where it has none."""
        node, before = self.chain[self.bias_at], self.chain[0].output[0]
        return str(node.input[2] if self.bias_at == 0 else next(name for name in node.input if name != before))

    @property
    def channel_axis(self) -> int:
        """Along which axis of its output the channels lie, as a ``Split`` of it says that."""
        return -1 if self.layer.node.op_type == "MatMul" else 1

    @property
    def output(self) -> str:
        """Name of the tensor that it ends in."""
        return str(self.chain[-1].output[0])

    @property
    def channels(self) -> int:
        """How many it computes."""
        return int(self.layer.weight.shape[self.layer.axis])


Group = tuple[Branch, ...]


@dataclass(frozen=True)
class Merged:
    """A model in which layers are one.

    Attributes:
        model: serialized.
        tensors: what the new layers compute -> what the old ones computed of it.
        weights: the new layers' weights -> the old ones', whose output channels follow each other in them.
        names: of the layers that became one, with ``+`` between.
    """

    model: bytes
    tensors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    weights: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: tuple[str, ...] = ()


def find_groups(model: bytes) -> list[Group]:
    """The sets of two or more layers on the same tensor that can be one, in the order in which they run."""
    graph = _mergeable(model)
    constants = constants_of(graph)
    alike: dict[tuple[object, ...], list[Branch]] = {}
    for branch in branches_of(graph):
        alike.setdefault((branch.layer.source, *_likeness(branch, constants)), []).append(branch)
    return [tuple(group) for group in alike.values() if len(group) > 1]


def find_parallel_groups(model: bytes) -> list[Group]:
    """The sets of layers that can be one because each alone reads a part of a tensor, and together all of it."""
    graph = _mergeable(model)
    constants, readers = constants_of(graph), readers_of(graph)
    reading = {branch.layer.source: branch for branch in branches_of(graph)}
    groups = []
    for split in (node for node in graph.node if node.op_type == "Split"):
        group = [reading[name] for name in split.output if name in reading and readers[name] == 1]
        alike = {_likeness(branch, constants) for branch in group}
        if len(group) == len(split.output) > 1 == len(alike) and split_axis(split) == group[0].channel_axis:
            groups.append(tuple(group))
    return groups


def merge_all(model: bytes) -> Merged:
    """Make one of all layers that can be, those on the same tensor first, then those that follow, depth after depth."""
    found = Merged(model)
    while groups := find_groups(found.model) or find_parallel_groups(found.model):
        merged = merge(found.model, groups[0])
        found = Merged(
            merged.model,
            {**found.tensors, **merged.tensors},
            {**found.weights, **merged.weights},
            (*found.names, *merged.names),
        )
    return found


def branches_of(graph: onnx.GraphProto) -> list[Branch]:
    """All layers of which each output channel is by itself: any could be left out, or others put beside them."""
    constants, readers = constants_of(graph), readers_of(graph)
    followers = {name: node for node in graph.node for name in node.input if readers[name] == 1}
    found = (_branch(layer, constants, followers) for layer in layers_of(graph))
    return [branch for branch in found if branch is not None]


def merge(model: bytes, group: Group) -> Merged:
    """Put one wider layer in the place of several; outputs keep their names and values.

    Args:
        model: a serialized fp32 model.
        group: one that :func:`find_groups` or :func:`find_parallel_groups` found in it.
    """
    proto = onnx.load_from_string(model)
    graph = proto.graph
    gone = {branch.output for branch in group} | {node.output[0] for branch in group for node in branch.chain}
    position = next(index for index, node in enumerate(graph.node) if gone.intersection(node.output))
    nodes = [node for node in graph.node if not gone.intersection(node.output)]
    wide, constants = _wider(graph, group)
    kept = [
        onnx.NodeProto.FromString(node.SerializeToString()) for node in (*nodes[:position], *wide, *nodes[position:])
    ]
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(constants)
    _join_again(graph, kept[position + len(wide) - 1])
    drop_dead(graph)
    chains = zip(*(branch.chain for branch in group), strict=True)
    return Merged(
        bytes(proto.SerializeToString()),
        {node.output[0]: tuple(part.output[0] for part in parts) for node, parts in zip(wide, chains, strict=False)},
        {constants[0].name: tuple(branch.layer.weight_name for branch in group)},
        ("+".join(branch.name for branch in group),),
    )


def _mergeable(model: bytes) -> onnx.GraphProto:
    """A model's graph; an empty one where nothing can be merged."""
    proto = onnx.load_from_string(model)
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)
    return onnx.GraphProto() if opset < _SPLIT_AS_INPUT or has_graphs_within(proto.graph) else proto.graph


def _branch(
    layer: Layer, constants: Mapping[str, np.ndarray], followers: Mapping[str, onnx.NodeProto]
) -> Branch | None:
    """The layer with what follows it; None if it is none that can be merged."""
    bias = constants.get(layer.bias_name)
    channels = layer.weight.shape[layer.axis]
    if layer.groups > 1 or (layer.bias_name and (bias is None or bias.shape != (channels,))):
        return None
    chain, added = [layer.node], False
    after = followers.get(chain[-1].output[0])
    if layer.node.op_type == "MatMul" and after is not None and after.op_type == "Add":
        other = next(name for name in after.input if name != chain[-1].output[0])
        if other in constants and constants[other].shape == (channels,):
            bias = constants[other]
            chain.append(after)
            added = True
            after = followers.get(after.output[0])
    if after is not None and _is_activation(after, chain[-1].output[0], constants):
        chain.append(after)
    return Branch(layer, bias, int(added), tuple(chain))


def _is_activation(node: onnx.NodeProto, source: str, constants: Mapping[str, np.ndarray]) -> bool:
    """Whether it does the same to every number of a tensor, and reads nothing else but constant limits."""
    limits = [constants.get(name) for name in node.input[1:] if name]
    scalars = all(limit is not None and limit.ndim == 0 for limit in limits)
    return node.op_type in ACTIVATIONS and node.input[0] == source and scalars


def _likeness(branch: Branch, constants: Mapping[str, np.ndarray]) -> tuple[object, ...]:
    """What layers must have in common."""
    kernel, last = branch.layer.weight.shape[2:], branch.chain[-1]
    activation: tuple[object, ...] = ()
    if last.op_type in ACTIVATIONS:
        limits = tuple(constants[name].tobytes() if name else b"" for name in last.input[1:])
        activation = (_attributes(last), limits)
    kinds = tuple(node.op_type for node in branch.chain)
    return (kinds, _attributes(branch.layer.node), kernel, branch.bias is None, activation)


def _attributes(node: onnx.NodeProto) -> tuple[bytes, ...]:
    """A node's attributes but for those that say what goes without saying."""
    assumed = assumed_attributes(node)
    return tuple(sorted(item.SerializeToString(deterministic=True) for item in node.attribute if item not in assumed))


def _wider(graph: onnx.GraphProto, group: Group) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The nodes that stand for all layers of a group, the ``Split`` last, and the constants that they need."""
    first = group[0]
    stem = fresh_name(graph, "+".join(branch.name for branch in group))
    together = len({branch.layer.source for branch in group}) == 1
    weights = [branch.layer.weight for branch in group]
    weight = np.concatenate(weights, axis=first.layer.axis) if together else _block_diagonal(weights)
    tensors = [
        numpy_helper.from_array(weight, f"{stem}.weight"),
        numpy_helper.from_array(np.array([branch.channels for branch in group], np.int64), f"{stem}.channels"),
    ]
    if first.bias is not None:
        bias = np.concatenate([branch.bias for branch in group if branch.bias is not None])
        tensors.append(numpy_helper.from_array(bias, f"{stem}.bias"))
    nodes: list[onnx.NodeProto] = []
    for index, original in enumerate(first.chain):
        node = onnx.NodeProto.FromString(original.SerializeToString())
        node.name = stem if index == 0 else f"{stem}.{node.op_type.lower()}"
        match node.op_type:
            case "Gemm" | "Conv" | "MatMul":
                if not together:
                    node.input[0] = _whole(graph, first.layer.source)
                node.input[1] = f"{stem}.weight"
                if len(node.input) > 2 and node.input[2]:
                    node.input[2] = f"{stem}.bias"
            case "Add":
                node.input[:] = [nodes[-1].output[0], f"{stem}.bias"]
            case _:
                node.input[0] = nodes[-1].output[0]
        node.output[0] = f"{stem}.{index}"
        nodes.append(node)
    split = [nodes[-1].output[0], f"{stem}.channels"]
    outputs = [branch.output for branch in group]
    nodes.append(helper.make_node("Split", split, outputs, name=f"{stem}.split", axis=first.channel_axis))
    return nodes, tensors


def _block_diagonal(weights: Sequence[np.ndarray]) -> np.ndarray:
    """Weights on the diagonal of their first two axes, which are a layer's channels, and zeros elsewhere."""
    starts = np.cumsum([(0, 0), *(weight.shape[:2] for weight in weights)], axis=0)
    found = np.zeros((*starts[-1], *weights[0].shape[2:]), weights[0].dtype)
    for (row, column), weight in zip(starts, weights, strict=False):
        found[row : row + weight.shape[0], column : column + weight.shape[1]] = weight
    return found


def _whole(graph: onnx.GraphProto, part: str) -> str:
    """The tensor that a ``Split`` makes this part of."""
    return next(str(node.input[0]) for node in graph.node if part in node.output)


def _join_again(graph: onnx.GraphProto, split: onnx.NodeProto) -> None:
    """Spare a ``Split`` whose parts only a ``Concat`` reads, which puts them together again; in place."""
    readers = readers_of(graph)
    joins = [node for node in graph.node if node.op_type == "Concat" and list(node.input) == list(split.output)]
    if len(joins) != 1 or any(readers[name] != 1 for name in split.output):
        return
    (join,) = joins
    if helper.get_node_attr_value(join, "axis") != helper.get_node_attr_value(split, "axis"):
        return
    whole = next(node for node in graph.node if split.input[0] in node.output)
    whole.output[0] = join.output[0]
    graph.node.remove(split)
    graph.node.remove(join)
