"""Who reads what in a graph, and what nobody reads."""

from collections import Counter

import onnx

from mtl_edge.quantize.graph import names_read


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
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in needed]:
        graph.initializer.remove(tensor)
    made = {name for node in graph.node for name in node.output}
    for value in [value for value in graph.value_info if value.name not in made]:
        graph.value_info.remove(value)


def fresh_name(graph: onnx.GraphProto, stem: str) -> str:
    """The name, or one like it, such that nothing in the graph has it, or has it with something after a dot."""
    tensors = {name for node in graph.node for name in (*node.input, *node.output, node.name)}
    taken = {*tensors, *(item.name for item in (*graph.input, *graph.output, *graph.initializer))}
    name, number = stem, 1
    while any(other == name or other.startswith(f"{name}.") for other in taken):
        number += 1
        name = f"{stem}_{number}"
    return name
