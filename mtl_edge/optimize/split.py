"""A graph in parts: what several tasks need, and what each of them needs alone."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from mtl_edge.errors import ModelError
from mtl_edge.graph import drop_unread_constants, names_read, sort_nodes
from mtl_edge.runtime import open_session

_NUMPY_NAMES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(string)": "object"}
"""What ONNX Runtime calls otherwise."""


@dataclass(frozen=True)
class Parts:
    """Serialized graphs; a task whose outputs the trunk makes has no head."""

    trunk: bytes
    heads: Mapping[str, bytes]


def split_graph(model: bytes, tasks: Mapping[str, Collection[str]]) -> Parts:
    """Cut a model where its tasks part.

    The trunk is what at least two tasks need. Values go over the cut as they are stored: in an int8 model in 8 bits,
    before they are brought back to float, so that both sides run in int8.

    Args:
        model: a serialized model.
        tasks: name -> the outputs of the model that are its.

    Raises:
        ModelError: the tasks have nothing in common.
    """
    proto = onnx.load_from_string(model)
    sort_nodes(proto.graph)
    makers = {name: index for index, node in enumerate(proto.graph.node) for name in node.output if name}
    shared = _shared(proto.graph, tasks)
    if not shared:
        raise ModelError(f"split: tasks must share layers, found none that two of {', '.join(tasks)} need")
    needs: dict[str, tuple[set[int], dict[str, None]]] = {
        task: _closure(proto.graph, outputs, makers, shared) for task, outputs in tasks.items()
    }
    cut = dict.fromkeys(name for _, frontier in needs.values() for name in frontier)
    nodes, _ = _closure(proto.graph, cut, makers, frozenset())
    known = {value.name: value for value in proto.graph.output}
    known = _declared(_part(proto, nodes, [], cut, known)) | known
    heads = {task: _part(proto, own, frontier, tasks[task], known) for task, (own, frontier) in needs.items() if own}
    return Parts(_part(proto, nodes, [], cut, known), heads)


def _declared(trunk: bytes) -> dict[str, onnx.ValueInfoProto]:
    """A model's outputs with the dtypes and shapes that ONNX Runtime finds for them."""
    found = {}
    for output in open_session(trunk, threads=1).get_outputs():
        dtype = np.dtype(_NUMPY_NAMES.get(output.type, output.type.removeprefix("tensor(").removesuffix(")")))
        found[output.name] = helper.make_tensor_value_info(
            output.name, helper.np_dtype_to_tensor_dtype(dtype), output.shape
        )
    return found


def _shared(graph: onnx.GraphProto, tasks: Mapping[str, Collection[str]]) -> frozenset[int]:
    """Nodes that at least two tasks need, without those that each part can have a copy of."""
    wanted: dict[str, set[str]] = {}
    for task, outputs in tasks.items():
        for name in outputs:
            wanted.setdefault(name, set()).add(task)
    users: list[set[str]] = [set() for _ in graph.node]
    for index in range(len(graph.node) - 1, -1, -1):
        node = graph.node[index]
        users[index] = set().union(*(wanted.get(name, set()) for name in node.output))
        for name in names_read(node):
            wanted.setdefault(name, set()).update(users[index])
    fixed = {tensor.name for tensor in graph.initializer}
    found = []
    for index, node in enumerate(graph.node):
        if all(name in fixed for name in names_read(node) if name):
            fixed.update(node.output)
        elif len(users[index]) > 1 and node.op_type != "DequantizeLinear":
            found.append(index)
    return frozenset(found)


def _closure(
    graph: onnx.GraphProto, outputs: Collection[str], makers: Mapping[str, int], without: Collection[int]
) -> tuple[set[int], dict[str, None]]:
    """The nodes that these values need, and the values of other parts that those read, in a fixed order."""
    nodes: set[int] = set()
    frontier: dict[str, None] = {}
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        index = makers.get(name)
        if index is None or index in nodes:
            continue
        if index in without:
            frontier[name] = None
        else:
            nodes.add(index)
            waiting.extend(names_read(graph.node[index]))
    return nodes, dict.fromkeys(sorted(frontier, key=lambda name: (makers[name], name)))


def _part(
    whole: onnx.ModelProto,
    nodes: Collection[int],
    inputs: Collection[str],
    outputs: Collection[str],
    known: Mapping[str, onnx.ValueInfoProto],
) -> bytes:
    """Some nodes as a model of their own; values from other parts become inputs, of the types that are known."""
    part = onnx.ModelProto.FromString(whole.SerializeToString())
    graph = part.graph
    kept = [whole.graph.node[index] for index in sorted(nodes)]
    read = {name for node in kept for name in names_read(node)}
    del graph.node[:]
    graph.node.extend(kept)
    own = [value for value in whole.graph.input if value.name in read]
    for field, values in ((graph.input, own), (graph.output, [])):
        del field[:]
        field.extend(values)
    graph.input.extend(known[name] for name in inputs)
    graph.output.extend(known.get(name, onnx.ValueInfoProto(name=name)) for name in outputs)
    graph.ClearField("value_info")
    drop_unread_constants(graph)
    return bytes(part.SerializeToString())
