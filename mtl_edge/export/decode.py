"""Decoding in the graph: outputs beside those of the tasks, in which each one's answer stands.

What is decided, such as a class, is decided on the task's own output, so it is what the Python client decides, to the
bit. Probabilities are the runtime's softmax and sigmoid in float32: within 1e-6 of the client's, which computes them in
float64.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.artifact import Answer
from mtl_edge.errors import ModelError
from mtl_edge.export.edit import OLDEST_OPSET, Shape, opset_of, shape_of
from mtl_edge.graph import fresh_name
from mtl_edge.tasks import (
    Binary,
    DenseRegression,
    Multiclass,
    Multilabel,
    Ordinal,
    Regression,
    Segmentation,
    Task,
)

_DTYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8}
_DTYPES |= {"bool": TensorProto.BOOL, "int32": TensorProto.INT32}


def decode_in_graph(model: bytes, tasks: Sequence[Task]) -> tuple[bytes, tuple[Answer, ...]]:
    """Add outputs ``<task>.<meaning>``, see :class:`mtl_edge.artifact.Answer`; those of the tasks stay as they are.

    Args:
        model: a serialized model with one output for each task, under its name.
        tasks: what the outputs mean.

    Raises:
        ModelError: an output is missing, or one of a new output's name is there, or the operator set is too old.
    """
    proto = onnx.load_from_string(model)
    graph = proto.graph
    if opset_of(proto) < OLDEST_OPSET:
        raise ModelError(f"decode: the model must have operator set {OLDEST_OPSET} or later, found {opset_of(proto)}")
    answers: list[Answer] = []
    for task in tasks:
        output = next((item for item in graph.output if item.name == task.name), None)
        if output is None:
            present = ", ".join(item.name for item in graph.output)
            raise ModelError(f"decode: task {task.name!r} must have an output of its name, found {present}")
        for answer in _Decoder(graph, task, shape_of(output)).answers():
            if any(answer.output == item.name for item in (*graph.output, *graph.input)):
                raise ModelError(
                    f"decode: the name {answer.output!r} must be free for an answer, found it in the graph"
                )
            graph.output.append(helper.make_tensor_value_info(answer.output, _DTYPES[answer.dtype], answer.shape))
            answers.append(answer)
    return bytes(proto.SerializeToString()), tuple(answers)


class _Decoder:
    """Appends the nodes that decode one task's output."""

    def __init__(self, graph: onnx.GraphProto, task: Task, shape: Shape) -> None:
        self._graph = graph
        self._task = task
        self._shape = shape

    def answers(self) -> list[Answer]:
        """What was appended."""
        flat = (self._shape[0], *self._shape[2:])
        match self._task:
            case Multiclass():
                return [
                    self._answer("label", self._most_probable(), "int64", flat),
                    self._answer("probabilities", self._node("Softmax", axis=1), "float32", self._shape),
                ]
            case Segmentation(classes=classes):
                dtype = "uint8" if classes <= 1 << 8 else "int32"
                return [self._answer("labels", self._cast(self._most_probable(), dtype), dtype, flat)]
            case Binary():
                return [
                    self._answer("yes", self._squeezed(self._positive()), "bool", flat),
                    self._answer("probability", self._squeezed(self._node("Sigmoid")), "float32", flat),
                ]
            case Multilabel():
                return [
                    self._answer("labels", self._positive(), "bool", self._shape),
                    self._answer("probabilities", self._node("Sigmoid"), "float32", self._shape),
                ]
            case Ordinal():
                axis = self._constant("axis", np.array([1], np.int64))
                steps = self._cast(self._positive(), "int64")
                return [
                    self._answer("rank", self._node("ReduceSum", steps, axis, keepdims=0), "int64", flat),
                    self._answer("above", self._node("Sigmoid"), "float32", self._shape),
                ]
            case Regression():
                return [self._answer("value", self._squeezed(self._task.name), "float32", flat)]
            case DenseRegression():
                return [self._answer("values", self._squeezed(self._task.name), "float32", flat)]

    def _most_probable(self) -> str:
        return self._node("ArgMax", axis=1, keepdims=0)

    def _positive(self) -> str:
        return self._node("Greater", self._task.name, self._constant("zero", np.float32(0)))

    def _squeezed(self, source: str) -> str:
        return self._node("Squeeze", source, self._constant("axis", np.array([1], np.int64)))

    def _cast(self, source: str, dtype: str) -> str:
        return self._node("Cast", source, to=_DTYPES[dtype])

    def _node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = fresh_name(self._graph, f"{self._task.name}.decode.{kind.lower()}")
        sources = list(inputs or (self._task.name,))
        self._graph.node.append(helper.make_node(kind, sources, [name], name=name, **attributes))
        return name

    def _constant(self, stem: str, value: np.ndarray | np.float32) -> str:
        name = fresh_name(self._graph, f"{self._task.name}.decode.{stem}")
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _answer(self, meaning: str, made: str, dtype: str, shape: Shape) -> Answer:
        """Give what the last node made the name of an output."""
        name = f"{self._task.name}.{meaning}"
        self._graph.node[-1].output[0] = name
        assert made == self._graph.node[-1].name
        return Answer(task=self._task.name, meaning=meaning, output=name, dtype=dtype, shape=shape)
