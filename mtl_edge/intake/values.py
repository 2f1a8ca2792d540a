"""Inputs and outputs of a graph: names, dtypes, shapes."""

from dataclasses import dataclass

from mtl_edge.intake.tensors import BITS
from mtl_edge.intake.wire import content, fields, integer, text


@dataclass(frozen=True)
class Value:
    """An input or output of the graph; a name stands for a dimension that is open, None for one without a name.

    ``dtype`` is numpy's name, where numpy has one; None if it is no tensor. ``shape`` is None where nothing is said.
    """

    name: str
    dtype: str | None
    shape: tuple[int | str | None, ...] | None


def value_info(message: memoryview) -> Value:
    """A ``ValueInfoProto``; what is no plain tensor has neither dtype nor shape."""
    name, dtype, shape = "", None, None
    for number, value in fields(message):
        match number:
            case 1:
                name = text(value)
            case 2:
                for kind, inner in fields(content(value)):
                    if kind == 1:
                        dtype, shape = _tensor_type(content(inner))
    return Value(name, dtype, shape)


def _tensor_type(message: memoryview) -> tuple[str | None, tuple[int | str | None, ...] | None]:
    dtype, shape = None, None
    for number, value in fields(message):
        match number:
            case 1:
                dtype = BITS.get(integer(value), (None, 0))[0]
            case 2:
                shape = tuple(_dimension(content(part)) for kind, part in fields(content(value)) if kind == 1)
    return dtype, shape


def _dimension(message: memoryview) -> int | str | None:
    size: int | str | None = None
    for number, value in fields(message):
        match number:
            case 1:
                size = integer(value)
            case 2:
                size = text(value) or None
    return size


def operator_set(message: memoryview) -> tuple[str, int]:
    """An ``OperatorSetIdProto``: domain, empty for ONNX's own, and version."""
    domain, version = "", 0
    for number, value in fields(message):
        match number:
            case 1:
                domain = text(value)
            case 2:
                version = integer(value)
    return "" if domain == "ai.onnx" else domain, version
