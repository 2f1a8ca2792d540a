"""The outputs of a graph from elsewhere, as tasks have them: under their names, as logits, with an axis for values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import onnx
from onnx import helper

from mtl_edge.export.edit import opset_of
from mtl_edge.tasks import Task

Shape = tuple[int | str, ...]

_MADE_OF_LOGITS = {"softmax": "Softmax", "sigmoid": "Sigmoid", "cumulative-sigmoid": "Sigmoid"}


def output_fault(task: Task, dtype: str | None, shape: Shape) -> str | None:
    """Why an output of this dtype and shape cannot be that of a task, or None."""
    wanted: Shape = ("N", task.width, "H", "W") if task.dense else ("N", task.width)
    if dtype != "float32":
        return f"must be float32, found {dtype}"
    full = _with_values(task, shape)
    if len(full) != len(wanted) or (isinstance(full[1], int) and full[1] != task.width):
        return f"must be ({', '.join(map(str, wanted))}), found ({', '.join(map(str, shape))})"
    return None


def _with_values(task: Task, shape: Shape) -> Shape:
    """The shape with the axis of values, which an output of one value may lack."""
    lacks = task.width == 1 and len(shape) == (3 if task.dense else 1)
    return (shape[0], 1, *shape[1:]) if lacks else shape


@dataclass
class _Changes:
    """What becomes of the graph: tensor -> its new name, and nodes that are added at the end."""

    names: dict[str, str] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def fit_outputs(
    proto: onnx.ModelProto, tasks: Sequence[Task], outputs: Mapping[str, str], shapes: Mapping[str, Shape]
) -> tuple[str, ...]:
    """Give a graph the tasks' outputs, in place, and say what was changed beside names.

    A last ``Softmax`` or ``Sigmoid`` is taken off, since a task's output is logits; and ``(N,)`` becomes ``(N, 1)``.

    Args:
        proto: the model.
        tasks: what the outputs mean; :func:`output_fault` finds nothing.
        outputs: task -> the graph's name of its output.
        shapes: of the graph's outputs, by that name.

    Raises:
        ValueError: another tensor has the name of a task.
    """
    graph = proto.graph
    makers = {name: node for node in graph.node for name in node.output}
    changes = _Changes()
    for task in tasks:
        _plan(task, outputs[task.name], shapes[outputs[task.name]], makers, opset_of(proto), changes)
    kept = {*_names_in(graph)} - {*changes.names}
    made = [*changes.names.values(), *(name for node in changes.nodes for name in node.output)]
    if taken := [name for name in made if name in kept]:
        raise ValueError(f"must have a name that no other tensor of the graph has, found {taken[0]!r}")
    _rename(graph, changes.names)
    graph.node.extend(changes.nodes)
    graph.initializer.extend(changes.constants)
    del graph.output[:]
    for task in tasks:
        shape = _with_values(task, shapes[outputs[task.name]])
        graph.output.append(helper.make_tensor_value_info(task.name, onnx.TensorProto.FLOAT, shape))
    for value in [value for value in graph.value_info if value.name in {task.name for task in tasks}]:
        graph.value_info.remove(value)
    _drop_unread(graph)
    return tuple(changes.remarks)


def _plan(
    task: Task, output: str, shape: Shape, makers: Mapping[str, onnx.NodeProto], opset: int, changes: _Changes
) -> None:
    """Find where a task's output comes from, and what is to be done with it."""
    source, maker = output, makers.get(output)
    if maker is not None and maker.op_type == _MADE_OF_LOGITS.get(task.decoding) and _along_values(maker, shape, opset):
        source = maker.input[0]
        changes.names[output] = f"{task.name}/{maker.op_type.lower()}"
        changes.remarks.append(f"{task.name}: its output is now the logits before {maker.op_type}")
    if _with_values(task, shape) != shape:
        changes.remarks.append(f"{task.name}: its output is now (N, 1{', H, W' * task.dense}), with an axis for values")
        if source == task.name:
            changes.names[source] = f"{task.name}/flat"
        source = changes.names.get(source, source)
        if opset >= 13:
            changes.constants.append(helper.make_tensor(f"{task.name}/axes", onnx.TensorProto.INT64, [1], [1]))
            node = helper.make_node("Unsqueeze", [source, f"{task.name}/axes"], [task.name], f"{task.name}/unsqueeze")
        else:
            node = helper.make_node("Unsqueeze", [source], [task.name], f"{task.name}/unsqueeze", axes=[1])
        changes.nodes.append(node)
    elif source in changes.names or source not in makers:  # another task's too, or the graph's input
        source = changes.names.get(source, source)
        changes.nodes.append(helper.make_node("Identity", [source], [task.name], f"{task.name}/identity"))
    elif source != task.name:
        changes.names[source] = task.name


def _along_values(node: onnx.NodeProto, shape: Shape, opset: int) -> bool:
    """Whether a ``Softmax`` is over the classes; a ``Sigmoid`` is over nothing."""
    if node.op_type == "Sigmoid":
        return True
    axis = next((item.i for item in node.attribute if item.name == "axis"), -1 if opset >= 13 else 1)
    return len(shape) > 1 and axis % len(shape) == 1


def _names_in(graph: onnx.GraphProto) -> Iterator[str]:
    """The names of all tensors, in graphs within the graph too."""
    yield from (item.name for item in (*graph.input, *graph.initializer))
    for node in graph.node:
        yield from node.output
        for inner in _inner(node):
            yield from _names_in(inner)


def _inner(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        yield from (attribute.g, *attribute.graphs)


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for inner in _inner(node):
            _rename(inner, names)
    for value in (*graph.value_info, *graph.output):
        value.name = names.get(value.name, value.name)


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Take off nodes at the end whose results nothing reads any more."""
    read = {item.name for item in graph.output}
    for node in graph.node:
        read.update(node.input)
        for inner in _inner(node):
            read.update(name for step in inner.node for name in step.input)
            read.update(item.name for item in inner.output)
    for node in [node for node in graph.node if not read & set(node.output)]:
        graph.node.remove(node)
