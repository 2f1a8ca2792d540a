"""A whole int8 model as an x86 processor without VNNI computes it, on any processor."""

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import onnx
import onnxruntime
from onnx import helper

from mtl_edge.bench.machine import TargetName
from mtl_edge.errors import DataError, ModelError, last_words
from mtl_edge.graph import names_read
from mtl_edge.quantize.int8_layers import Int8Layer, constants_of, int8_layer
from mtl_edge.quantize.saturation import HIGHEST, pair_bounds
from mtl_edge.quantize.target import this_target
from mtl_edge.runtime import Session, open_session

Arithmetic = Literal["saturating", "exact"]
_Step = Callable[[dict[str, np.ndarray]], None]


class LayerRisk(msgspec.Struct, frozen=True):
    """How near a layer comes to 16 bits.

    Attributes:
        layer: name of its node.
        bound: the largest sum of two products that any activations could give; beyond 32767 it would be cut off.
        peak: the largest that was seen, among those that could be cut off.
        share: of all sums of two products, how many were cut off.
    """

    layer: str
    bound: int
    peak: int
    share: float

    @property
    def can_saturate(self) -> bool:
        """Whether some activations would be cut off."""
        return self.bound > HIGHEST


class Emulator:
    """Runs a quantized model as ONNX Runtime does, except for the layers whose sums could be cut off.

    Those are computed in numpy, the rest of the optimized graph by ONNX Runtime, piece by piece. It has the methods of
    an ``InferenceSession`` that :func:`mtl_edge.runtime.evaluate` needs. Layers whose weights are too small to saturate
    are left to the runtime.

    Attributes:
        bounds: layer -> the largest sum of two products that any activations could give, for every int8 layer.
    """

    def __init__(self, model: bytes, arithmetic: Arithmetic = "saturating") -> None:
        """Cut the model.

        Raises:
            ModelError: the model cannot be loaded.
        """
        self._arithmetic = arithmetic
        session, proto = _optimize(model)
        self._inputs: list[onnxruntime.NodeArg] = list(session.get_inputs())
        self._outputs: list[onnxruntime.NodeArg] = list(session.get_outputs())
        self._seen: dict[str, list[int]] = {}
        self.bounds: dict[str, int] = {}
        constants = constants_of(proto.graph)
        self._fixed = {item.name: constants[item.name] for item in self._outputs if item.name in constants}
        readers = _readers(proto.graph)
        pieces: list[dict[int, onnx.NodeProto] | Int8Layer] = [{}]
        for position, node in enumerate(proto.graph.node):
            layer = int8_layer(node, constants)
            if layer is not None:
                self.bounds[layer.name] = int(max(pair_bounds(weights).max(initial=0) for weights in layer.weights))
            if layer is not None and self.bounds[layer.name] > HIGHEST:
                pieces += [layer, {}]
            else:
                last = pieces[-1]
                assert isinstance(last, dict)
                last[position] = node
        self._steps: list[_Step] = [
            self._layer_step(piece) if isinstance(piece, Int8Layer) else _Piece(proto, piece, readers)
            for piece in pieces
            if piece
        ]

    def get_outputs(self) -> Sequence[onnxruntime.NodeArg]:
        """What the model answers."""
        return self._outputs

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Compute outputs, and go on counting what is cut off.

        Raises:
            DataError: the arrays do not fit the model.
        """
        for item in self._inputs:
            if item.name not in feeds or feeds[item.name].ndim != len(item.shape):
                found = feeds[item.name].shape if item.name in feeds else "nothing"
                raise DataError(f"emulation: {item.name!r} must have the shape {item.shape}, found {found}")
        values = self._fixed | dict(feeds)
        for step in self._steps:
            step(values)
        return [values[name] for name in names or [item.name for item in self._outputs]]

    @property
    def risks(self) -> tuple[LayerRisk, ...]:
        """What was seen of every int8 layer so far."""
        found = []
        for name, bound in self.bounds.items():
            cut, pairs, peak = self._seen.get(name, [0, 1, 0])
            found.append(LayerRisk(name, bound, peak, cut / pairs))
        return tuple(found)

    def _layer_step(self, layer: Int8Layer) -> _Step:
        seen = self._seen.setdefault(layer.name, [0, 0, 0])

        def step(values: dict[str, np.ndarray]) -> None:
            answer, products = layer.run(values[layer.source], self._arithmetic)
            seen[0] += sum(product.saturating for product in products)
            seen[1] += sum(product.pairs for product in products)
            seen[2] = max(seen[2], *(product.peak for product in products))
            values[layer.node.output[0]] = answer

        return step


def open_as_on(model: bytes, target: TargetName) -> Session:
    """Load an int8 model so that it answers as it does on its target.

    That is ONNX Runtime, but for a model for ``x86-vnni`` on a box without VNNI: here the runtime would cut off sums
    that it does not cut off there, and a model would be judged by what it never gives.

    Raises:
        ModelError: the model cannot be loaded.
    """
    if target == "x86-vnni" and this_target() == "x86-avx2":
        with contextlib.suppress(ModelError):  # a graph that cannot be cut into pieces is judged by this box
            return Emulator(model, "exact")
    session: Session = open_session(model)
    return session


class _Piece:
    """Nodes between two of those layers, for ONNX Runtime; loaded when the types of what comes in are known."""

    def __init__(
        self, proto: onnx.ModelProto, nodes: Mapping[int, onnx.NodeProto], readers: Mapping[str, set[int]]
    ) -> None:
        made = {name for node in nodes.values() for name in node.output if name}
        used = {name for node in nodes.values() for name in node.input if name}
        self._proto, self._nodes = proto, list(nodes.values())
        self._constants = [tensor for tensor in proto.graph.initializer if tensor.name in used]
        self._reads = sorted(used - made - {tensor.name for tensor in self._constants})
        self._answers = [name for name in sorted(made) if readers.get(name, set()) - nodes.keys()]
        self._session: onnxruntime.InferenceSession | None = None

    def __call__(self, values: dict[str, np.ndarray]) -> None:
        if not self._answers:  # nobody reads what they give
            return
        feeds = {name: values[name] for name in self._reads}
        if self._session is None:
            self._session = self._load(feeds)
        try:
            answers = self._session.run(self._answers, feeds)
        except Exception as error:  # the runtime's own exception types are not public
            raise DataError(f"emulation: the data does not fit the model: {last_words(error)}") from error
        values.update(zip(self._answers, answers, strict=True))

    def _load(self, feeds: Mapping[str, np.ndarray]) -> onnxruntime.InferenceSession:
        for name, array in feeds.items():
            if not isinstance(array, np.ndarray):
                raise ModelError(f"emulation: only tensors can be handed on, found {type(array).__name__} {name!r}")
        types = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in feeds.items()}
        graph = helper.make_graph(
            self._nodes,
            "piece",
            [helper.make_tensor_value_info(name, kind, None) for name, kind in types.items()],
            [onnx.ValueInfoProto(name=name) for name in self._answers],
            self._constants,
        )
        proto = helper.make_model(graph, opset_imports=self._proto.opset_import, ir_version=self._proto.ir_version)
        options = _options()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(f"emulation: ONNX Runtime cannot load a piece: {last_words(error)}") from error


def _optimize(model: bytes) -> tuple[onnxruntime.InferenceSession, onnx.ModelProto]:
    """The graph with its int8 operators, before it is laid out for the processor at hand."""
    options = _options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        try:
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(f"emulation: ONNX Runtime cannot load the model: {last_words(error)}") from error
        return session, onnx.load(path)


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.inter_op_num_threads = 1
    return options


def _readers(graph: onnx.GraphProto) -> dict[str, set[int]]:
    """Value -> the positions of the nodes that read it; an output is read by somebody else."""
    readers: dict[str, set[int]] = {item.name: {-1} for item in graph.output}
    for position, node in enumerate(graph.node):
        for name in names_read(node):
            readers.setdefault(name, set()).add(position)
    return readers
