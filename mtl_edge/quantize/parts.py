"""The parts of a network: the trunk, what some tasks share, each head; and the stages of each, by the size of maps."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec
import onnx

from mtl_edge.quantize.placement import outputs_served, part_name

By = Literal["layer", "stage", "part"]


class Part(msgspec.Struct, frozen=True):
    """Layers that belong together.

    Attributes:
        name: a layer's; or ``trunk``, ``shared (left, sum)``, ``left``, behind which a stage has the size of its maps.
        kind: the operator, or how many of which.
        serves: the outputs that depend on them.
        layers: names of their nodes.
    """

    name: str
    kind: str
    serves: tuple[str, ...]
    layers: tuple[str, ...]


def parts_of(graph: onnx.GraphProto, layers: Sequence[onnx.NodeProto], by: By) -> list[Part]:
    """Group layers.

    Args:
        graph: with the shapes of inner values, which stages are told apart by.
        layers: nodes of it.
        by: each ``layer`` for itself; each ``part``, which are the layers that serve the same outputs; or each
            ``stage`` of a part, which are its layers whose maps are of one size.
    """
    served = outputs_served(graph)
    serves = {node.name: tuple(sorted(served[node.name])) for node in layers}
    if by == "layer":
        return [Part(node.name, node.op_type, serves[node.name], (node.name,)) for node in layers]
    sizes = _map_sizes(graph) if by == "stage" else {}
    found: dict[tuple[tuple[str, ...], str], list[onnx.NodeProto]] = {}
    for node in layers:
        found.setdefault((serves[node.name], sizes.get(node.output[0], "")), []).append(node)
    return [_part(outputs, size, nodes, len(graph.output)) for (outputs, size), nodes in found.items()]


def _part(outputs: tuple[str, ...], size: str, nodes: Sequence[onnx.NodeProto], every: int) -> Part:
    kinds = Counter(node.op_type for node in nodes)
    kind = ", ".join(f"{count} {name}" for name, count in kinds.most_common())
    return Part(f"{part_name(outputs, every)} {size}".rstrip(), kind, outputs, tuple(node.name for node in nodes))


def _map_sizes(graph: onnx.GraphProto) -> dict[str, str]:
    """Value -> the size of its maps, such as ``18x18``; only of values ``(N, C, …)`` that are maps of a known size."""
    sizes = {}
    for value in (*graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim[2:]
        if dims and all(dim.dim_value for dim in dims):
            sizes[value.name] = "x".join(str(dim.dim_value) for dim in dims)
    return sizes
