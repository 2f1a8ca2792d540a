"""What an ONNX graph with graphs inside of it reads, and an order in which its nodes can run."""

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
