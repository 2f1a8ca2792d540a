"""What an ``.onnx`` says of itself, and whether that can be: sizes, files beside it, and an order to run in.

ONNX Runtime trusts a model's file more than a file from elsewhere deserves. This reads all of it but the weights, in
milliseconds, and refuses what no exporter writes: tensors that are larger than the bytes that they come with, weights
in files outside of the model's folder, nodes that wait for one another, inputs beyond any memory.
"""

import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mtl_edge.errors import ModelError
from mtl_edge.intake.order import Step, find_cycle
from mtl_edge.intake.tensors import BITS, check_tensor
from mtl_edge.intake.values import Value, operator_set, value_info
from mtl_edge.intake.wire import WireError, content, fields, integer, pair, text

_LARGEST_FILE = (1 << 31) - 1
"""Bytes that protobuf, and so ONNX Runtime, reads."""

_LARGEST_VALUE = 1 << 31
"""Bytes of one input or output, its open dimensions at 1."""

_DEEPEST = 32
"""Graphs within graphs; protobuf's own readers stop there, too."""


@dataclass(frozen=True)
class Structure:
    """What a model's file says, without its weights."""

    ir_version: int
    opsets: Mapping[str, int]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: int
    metadata: Mapping[str, str]
    external: tuple[str, ...]
    """Files with weights, beside the model."""

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators."""
        return self.opsets.get("", 0)


def read_structure(path: Path) -> Structure:
    """Read and check a model's file.

    Raises:
        ModelError: it cannot be read, is no ONNX model, or says what cannot be.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            if size > _LARGEST_FILE:
                raise ModelError(f"{path}: a model's file must be below 2 GiB, found {size} bytes")
            if not size:
                raise ModelError(f"{path}: is not an ONNX model: it is empty")
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        return _structure_of(memoryview(mapped), str(path), path.parent)  # which is let go with its last reader
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error


def structure_of(model: bytes, place: str = "model", folder: Path | None = None) -> Structure:
    """The same of a model in memory, which can have no files beside it unless a folder is named.

    Raises:
        ModelError: it is no ONNX model, or says what cannot be.
    """
    return _structure_of(memoryview(model), place, folder)


def _structure_of(view: memoryview, place: str, folder: Path | None) -> Structure:
    reader = _Reader(place, folder)
    try:
        return reader.model(view)
    except WireError as error:
        raise ModelError(f"{place}: is not an ONNX model: {error}") from error


@dataclass
class _Graph:
    """What was read of one graph, or function, so far."""

    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    reads: set[str] = field(default_factory=set)
    """What its nodes and outputs read, from within or from around it."""


class _Reader:
    def __init__(self, place: str, folder: Path | None) -> None:
        self._place = place
        self._folder = folder
        self._external: dict[str, None] = {}
        self._nodes = 0

    def model(self, message: memoryview) -> Structure:
        ir_version, opsets, metadata, graph = 0, dict[str, int](), dict[str, str](), None
        for number, value in fields(message):
            match number:
                case 1:
                    ir_version = integer(value)
                case 7:
                    graph = graph or _Graph()
                    self._graph(content(value), graph, 0)
                case 8:
                    opsets |= [operator_set(content(value))]
                case 14:
                    metadata |= [pair(content(value))]
                case 20:
                    for part, inner in fields(content(value)):
                        if part in (1, 2):
                            self._graph(content(inner), _Graph(), 1)
                case 25:
                    self._function(content(value))
        if graph is None:
            raise WireError("it holds no graph")
        if not graph.outputs:
            raise ModelError(f"{self._place}: the graph must have an output, found none")
        self._check_order(graph)
        for kind, values in (("input", graph.inputs), ("output", graph.outputs)):
            for named in values:
                self._check_value(kind, named)
        return Structure(
            ir_version=ir_version,
            opsets=opsets,
            inputs=tuple(graph.inputs),
            outputs=tuple(graph.outputs),
            nodes=self._nodes,
            metadata=metadata,
            external=tuple(self._external),
        )

    def _graph(self, message: memoryview, graph: _Graph, depth: int) -> None:
        if depth > _DEEPEST:
            raise ModelError(f"{self._place}: graphs must be within each other at most {_DEEPEST} deep, found more")
        constants: set[str] = set()
        for number, value in fields(message):
            match number:
                case 1:
                    graph.steps.append(self._node(content(value), depth))
                case 5:
                    constants.add(self._tensor(content(value)))
                case 11:
                    graph.inputs.append(value_info(content(value)))
                case 12:
                    graph.outputs.append(value_info(content(value)))
                case 13:
                    value_info(content(value))
                case 15:
                    self._sparse(content(value))
        graph.inputs[:] = [item for item in graph.inputs if item.name not in constants]
        graph.reads.update(item.name for item in graph.outputs)
        for step in graph.steps:
            graph.reads.update(step.reads)
        if depth:
            self._check_order(graph)

    def _function(self, message: memoryview) -> None:
        graph = _Graph()
        for number, value in fields(message):
            match number:
                case 7:
                    graph.steps.append(self._node(content(value), 1))
                case 11:
                    self._attribute(content(value), 1)
        self._check_order(graph)

    def _node(self, message: memoryview, depth: int) -> Step:
        self._nodes += 1
        reads, makes, name, kind = [], [], "", ""
        for number, value in fields(message):
            match number:
                case 1:
                    reads.append(text(value))
                case 2:
                    makes.append(text(value))
                case 3:
                    name = text(value)
                case 4:
                    kind = text(value)
                case 5:
                    reads.extend(self._attribute(content(value), depth))
        return Step(name or (makes[0] if makes else kind), tuple(reads), tuple(filter(None, makes)))

    def _attribute(self, message: memoryview, depth: int) -> set[str]:
        """Check what is in an attribute, and say what graphs in it read from around them."""
        reads: set[str] = set()
        for number, value in fields(message):
            match number:
                case 1:
                    text(value)
                case 5 | 10:
                    self._tensor(content(value))
                case 6 | 11:
                    graph = _Graph()
                    self._graph(content(value), graph, depth + 1)
                    reads |= graph.reads - {name for step in graph.steps for name in step.makes}
                case 22 | 23:
                    self._sparse(content(value))
        return reads

    def _sparse(self, message: memoryview) -> None:
        for number, value in fields(message):
            if number in (1, 2):
                self._tensor(content(value))

    def _tensor(self, message: memoryview) -> str:
        name, file = check_tensor(message, self._folder, self._place)
        if file is not None:
            self._external[file] = None
        return name

    def _check_value(self, kind: str, named: Value) -> None:
        sizes = [size for size in named.shape or () if isinstance(size, int)]
        bits = next((bits for known, bits in BITS.values() if known == named.dtype), 0)
        if any(size < 0 for size in sizes) or math.prod(sizes) * (bits or 8) > 8 * _LARGEST_VALUE:
            found = f"{named.dtype} {list(named.shape or ())}"
            raise ModelError(f"{self._place}: {kind} {named.name!r} must have from 0 bytes to 2 GiB, found {found}")

    def _check_order(self, graph: _Graph) -> None:
        if cycle := find_cycle(graph.steps):
            raise ModelError(f"{self._place}: nodes must not wait for each other, found {' -> '.join(cycle)}")
