"""Who reads what in an ONNX graph, what nobody reads, and in which order its nodes can run."""

from collections import Counter
from collections.abc import Iterable, Iterator

import onnx


def names_read(node: onnx.NodeProto) -> Iterator[str]:
    """A node's inputs, and what the bodies of loops and branches read from around them."""
    yield from node.input
    yield from names_read_inside(node)


def names_read_inside(node: onnx.NodeProto) -> Iterator[str]:
    """Only what the bodies read, from around them or from one another."""
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from names_read(inner)
            yield from (value.name for value in graph.output)


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Bring nodes into an order in which each comes after all that it reads, with as few moves as possible."""
    makers = {name: position for position, node in enumerate(graph.node) for name in node.output if name}
    nodes, ordered = list(graph.node), list[onnx.NodeProto]()
    placed: set[int] = set()

    def needed(node: onnx.NodeProto) -> Iterable[int]:
        return [makers[name] for name in names_read(node) if name in makers]

    for start in range(len(nodes)):
        waiting = [start]
        while waiting:
            position = waiting[-1]
            before = [other for other in needed(nodes[position]) if other not in placed and other != position]
            if before and position not in placed:
                waiting.extend(reversed(before))
                continue
            waiting.pop()
            if position not in placed:
                placed.add(position)
                ordered.append(nodes[position])
    del graph.node[:]
    graph.node.extend(ordered)


def has_graphs_within(graph: onnx.GraphProto) -> bool:
    """Whether a node holds a graph of its own, such as the branches of an ``If``, which may read what is outside."""
    return any(item.HasField("g") or item.graphs for node in graph.node for item in node.attribute)


def readers_of(graph: onnx.GraphProto) -> Counter[str]:
    """How often each tensor is read, by nodes, by graphs within them, or as an output."""
    return Counter(
        [*(name for node in graph.node for name in names_read(node)), *(output.name for output in graph.output)]
    )


def drop_dead(graph: onnx.GraphProto) -> None:
    """Remove nodes and constants that no output depends on, and what is said of tensors that are no more; in place."""
    needed = {output.name for output in graph.output}
    alive = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            alive.append(node)
            needed.update(names_read(node))
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(alive)]
    del graph.node[:]
    graph.node.extend(kept)
    drop_unread_constants(graph)
    made = {name for node in graph.node for name in node.output}
    for value in [value for value in graph.value_info if value.name not in made]:
        graph.value_info.remove(value)


def drop_unread_constants(graph: onnx.GraphProto) -> None:
    """Remove constants that nobody reads; in place."""
    readers = readers_of(graph)
    for tensor in [tensor for tensor in graph.initializer if not readers[tensor.name]]:
        graph.initializer.remove(tensor)


def fresh_name(graph: onnx.GraphProto, stem: str) -> str:
    """The name, or one like it, such that nothing in the graph has it, or has it with something after a dot."""
    tensors = {name for node in graph.node for name in (*node.input, *node.output, node.name)}
    taken = {*tensors, *(item.name for item in (*graph.input, *graph.output, *graph.initializer))}
    name, number = stem, 1
    while any(other == name or other.startswith(f"{name}.") for other in taken):
        number += 1
        name = f"{stem}_{number}"
    return name


def assumed_attributes(node: onnx.NodeProto, opset: int | None = None) -> list[onnx.AttributeProto]:
    """A node's attributes that have the value which its operator gives them anyway.

    Args:
        node: of any operator; of the runtime's own ones nothing is known, and nothing is assumed.
        opset: the version of its operator set; None takes the newest.
    """
    if not onnx.defs.has(node.op_type, node.domain):
        return []
    at = {} if opset is None else {"max_inclusive_version": opset}
    known = onnx.defs.get_schema(node.op_type, domain=node.domain, **at).attributes
    return [item for item in node.attribute if item.name in known and item == known[item.name].default_value]
