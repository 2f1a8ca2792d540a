"""Graphs of all kinds quantize, keep names, shapes and dtypes, and answer as they did."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.quantize.noise import output_noise
from mtl_edge.quantize.static import PlacementName, quantize_static
from mtl_edge.runtime import open_session

Feeds = dict[str, np.ndarray]
Shape = Sequence[int | str]


@dataclass(frozen=True)
class Case:
    """A graph, and samples for it."""

    model: onnx.ModelProto
    feeds: Callable[[int, int], Feeds]


class Builder:
    """Writes a graph node by node; weights are drawn by chance, scaled so that values keep their size."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: list[onnx.TensorProto] = []

    def weight(self, *shape: int, fan_in: int | None = None) -> str:
        """A new weight; the values that one answer sums over are all but the first axis, unless it is said."""
        scale = (fan_in or int(np.prod(shape[1:])) or 1) ** -0.5
        return self.constant((self._rng.standard_normal(shape) * scale).astype(np.float32))

    def constant(self, value: Any) -> str:
        """A new constant."""
        name = f"c{len(self._tensors)}"
        self._tensors.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, *inputs: str, to: str = "", outputs: int = 1, **attributes: Any) -> str:
        """A new node; its first output, or with ``to`` the output of this name."""
        names = [to or f"v{len(self._nodes)}", *(f"v{len(self._nodes)}_{index}" for index in range(1, outputs))]
        self._nodes.append(helper.make_node(kind, inputs, names, name=f"n{len(self._nodes)}", **attributes))
        return names[0]

    def case(
        self, inputs: Mapping[str, Shape], outputs: Sequence[str], *, opset: int = 17, kinds: Mapping[str, Any] = {}
    ) -> Case:
        """The graph; inputs are normal floats, or of ``kinds`` whole numbers below 8."""
        types = {name: kinds.get(name, np.float32) for name in inputs}

        def values(shapes: Mapping[str, Shape | None]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(np.dtype(types.get(name, np.float32))), shape
                )
                for name, shape in shapes.items()
            ]

        graph = helper.make_graph(self._nodes, "graph", values(inputs), values(dict.fromkeys(outputs)), self._tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        model = onnx.shape_inference.infer_shapes(model)
        for output in model.graph.output:  # of loops nothing is inferred
            if not output.type.tensor_type.HasField("shape"):
                output.type.tensor_type.shape.dim.extend([onnx.TensorShapeProto.Dimension(dim_param=d) for d in "nc"])
        onnx.checker.check_model(model)

        def feeds(samples: int, seed: int) -> Feeds:
            found, rng = {}, np.random.default_rng(seed)
            for name, shape in inputs.items():
                size = [samples if isinstance(part, str) else part for part in shape]
                whole = types[name] != np.float32
                drawn = rng.integers(0, 8, size) if whole else rng.standard_normal(size)
                found[name] = drawn.astype(types[name])
            return found

        return Case(model, feeds)


def _image_net(body: Callable[[Builder, str], str], channels: int, *, opset: int = 17) -> Case:
    """A convolution, what is to be tested, and two heads."""
    build = Builder()
    x = build.add("Relu", build.add("Conv", "x", build.weight(8, 3, 3, 3), build.weight(8, fan_in=9), pads=[1] * 4))
    pooled = build.add("Flatten", build.add("GlobalAveragePool", body(build, x)))
    for head in ("left", "right"):
        build.add("Gemm", pooled, build.weight(channels, 4, fan_in=channels), build.weight(4, fan_in=9), to=head)
    return build.case({"x": ("n", 3, 8, 8)}, ["left", "right"], opset=opset)


def _residual(build: Builder, x: str) -> str:
    y = build.add("Conv", x, build.weight(8, 8, 3, 3), pads=[1] * 4)
    return build.add("Relu", build.add("Add", x, y))


def _depthwise(build: Builder, x: str) -> str:
    y = build.add("Relu", build.add("Conv", x, build.weight(8, 1, 3, 3), group=8, pads=[1] * 4))
    return build.add("Conv", y, build.weight(8, 8, 1, 1))


def _shuffled(build: Builder, x: str) -> str:
    y = build.add("Conv", x, build.weight(8, 4, 3, 3), group=2, pads=[1] * 4)
    y = build.add("Reshape", y, build.constant(np.array([0, 2, 4, 8, 8])))
    y = build.add("Transpose", y, perm=[0, 2, 1, 3, 4])
    y = build.add("Reshape", y, build.constant(np.array([0, 8, 8, 8])))
    return build.add("Relu", build.add("Conv", y, build.weight(8, 4, 3, 3), group=2, pads=[1] * 4))


def _transposed(build: Builder, x: str) -> str:
    small = build.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    up = build.add(
        "ConvTranspose", small, build.weight(8, 6, 2, 2, fan_in=8), build.weight(6, fan_in=9), strides=[2, 2]
    )
    grouped = build.add("ConvTranspose", up, build.weight(6, 4, 2, 2, fan_in=3), group=2, strides=[2, 2])
    return build.add("Relu", grouped)


def _encoder_decoder(build: Builder, x: str) -> str:
    small = build.add("Relu", build.add("Conv", x, build.weight(8, 8, 3, 3), strides=[2, 2], pads=[1] * 4))
    scales = build.constant(np.array([1, 1, 2, 2], np.float32))
    up = build.add("Resize", small, "", scales, mode="nearest")
    joined = build.add("Concat", x, up, axis=1)
    return build.add("Relu", build.add("Conv", joined, build.weight(8, 16, 3, 3), pads=[1] * 4))


def _squeezed(build: Builder, x: str) -> str:
    gate = build.add("GlobalAveragePool", x)
    gate = build.add("Relu", build.add("Conv", gate, build.weight(4, 8, 1, 1)))
    gate = build.add("HardSigmoid", build.add("Conv", gate, build.weight(8, 4, 1, 1)))
    return build.add("HardSwish", build.add("Mul", x, gate))


def _smooth(build: Builder, x: str) -> str:
    y = build.add("Conv", x, build.weight(8, 8, 1, 1))
    half = build.add("Mul", y, build.constant(np.float32(0.5)))
    erf = build.add("Erf", build.add("Div", y, build.constant(np.float32(2**0.5))))
    gelu = build.add("Mul", half, build.add("Add", erf, build.constant(np.float32(1))))
    return build.add("Mul", gelu, build.add("Sigmoid", y))


def _padded(build: Builder, x: str) -> str:
    y = build.add("Pad", x, build.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])))
    return build.add(
        "Clip",
        build.add("Conv", y, build.weight(8, 8, 3, 3)),
        build.constant(np.float32(0)),
        build.constant(np.float32(6)),
    )


def _shared_weight() -> Case:
    build = Builder()
    weight = build.weight(8, 8, fan_in=8)
    y = build.add("Relu", build.add("MatMul", "x", weight))
    build.add("MatMul", y, weight, to="left")
    build.add("Gemm", y, weight, build.weight(8, fan_in=9), to="right", transB=1)
    return build.case({"x": ("n", 8)}, ["left", "right"])


def _tied_embedding() -> Case:
    build = Builder()
    table = build.weight(8, 16, fan_in=1)
    y = build.add("Gather", table, "ids")
    y = build.add("Relu", build.add("MatMul", y, build.weight(16, 16, fan_in=16)))
    build.add("MatMul", y, build.add("Transpose", table, perm=[1, 0]), to="words")
    build.add("MatMul", build.add("ReduceMean", y, axes=[1], keepdims=0), build.weight(16, 3, fan_in=16), to="kind")
    return build.case({"ids": ("n", 6)}, ["words", "kind"], kinds={"ids": np.int64})


def _attention() -> Case:
    build = Builder()
    scale, shift = build.constant(np.ones(16, np.float32)), build.constant(np.zeros(16, np.float32))
    x = build.add("LayerNormalization", "x", scale, shift)
    q, k, v = (build.add("MatMul", x, build.weight(16, 16, fan_in=16)) for _ in range(3))
    scores = build.add("MatMul", q, build.add("Transpose", k, perm=[0, 2, 1]))
    scores = build.add("Softmax", build.add("Mul", scores, build.constant(np.float32(0.25))), axis=-1)
    y = build.add("Add", x, build.add("MatMul", scores, v))
    build.add("MatMul", y, build.weight(16, 2, fan_in=16), to="tags")
    build.add("MatMul", build.add("ReduceMean", y, axes=[1], keepdims=0), build.weight(16, 3, fan_in=16), to="kind")
    return build.case({"x": ("n", 5, 16)}, ["tags", "kind"])


def _recurrent(kind: str, gates: int) -> Case:
    build = Builder()
    y = build.add("Transpose", "x", perm=[1, 0, 2])
    w, r = build.weight(1, gates * 8, 6, fan_in=6), build.weight(1, gates * 8, 8, fan_in=8)
    y = build.add(kind, y, w, r, outputs=2, hidden_size=8)
    last = build.add("Squeeze", build.add("Gather", y, build.constant(np.array(-1))), build.constant(np.array([0])))
    build.add("Gemm", last, build.weight(8, 2, fan_in=8), to="left")
    build.add("Gemm", last, build.weight(8, 3, fan_in=8), to="right")
    return build.case({"x": ("n", 7, 6)}, ["left", "right"])


def _branching(kind: str) -> Case:
    """A graph within the graph, which reads a tensor from outside."""
    build = Builder()
    y = build.add("Relu", build.add("MatMul", "x", build.weight(8, 8, fan_in=8)))
    if kind == "If":
        branches = {
            f"{name}_branch": helper.make_graph(
                [helper.make_node("Mul", [y, y] if name == "then" else [y, "two"], [name])],
                name,
                [],
                [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
                [] if name == "then" else [numpy_helper.from_array(np.float32(2), "two")],
            )
            for name in ("then", "else")
        }
        found = build.add("If", build.constant(np.array(False)), **branches)
    else:
        body = helper.make_graph(
            [helper.make_node("Add", ["carried", y], ["next"]), helper.make_node("Identity", ["go"], ["on"])],
            "body",
            [
                helper.make_tensor_value_info("step", TensorProto.INT64, []),
                helper.make_tensor_value_info("go", TensorProto.BOOL, []),
                helper.make_tensor_value_info("carried", TensorProto.FLOAT, None),
            ],
            [
                helper.make_tensor_value_info("on", TensorProto.BOOL, []),
                helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
            ],
        )
        found = build.add("Loop", build.constant(np.array(3)), build.constant(np.array(True)), y, body=body)
    build.add("MatMul", found, build.weight(8, 2, fan_in=8), to="left")
    build.add("MatMul", y, build.weight(8, 2, fan_in=8), to="right")
    return build.case({"x": ("n", 8)}, ["left", "right"])


def _two_inputs() -> Case:
    build = Builder()
    image = build.add("Relu", build.add("Conv", "image", build.weight(8, 3, 3, 3)))
    image = build.add("Flatten", build.add("GlobalAveragePool", image))
    vector = build.add("Relu", build.add("Gemm", "vector", build.weight(4, 8, fan_in=4), build.weight(8, fan_in=9)))
    both = build.add("Concat", image, vector, axis=1)
    build.add("Gemm", both, build.weight(16, 2, fan_in=16), to="left")
    build.add("Sigmoid", build.add("Gemm", both, build.weight(16, 1, fan_in=16)), to="right")
    return build.case({"image": ("n", 3, 8, 8), "vector": ("n", 4)}, ["left", "right"])


def _gemm_forms() -> Case:
    build = Builder()
    y = build.add("Gemm", "x", build.weight(8, 6), build.weight(8, fan_in=9), transB=1, alpha=0.5, beta=2.0)
    y = build.add("Gemm", build.add("Relu", y), build.weight(8, 8, fan_in=8))
    build.add("Gemm", y, build.weight(2, 8), build.constant(np.float32([0.5])), to="left", transB=1)
    build.add("Identity", y, to="right")
    return build.case({"x": ("n", 6)}, ["left", "right"])


def _inner_output() -> Case:
    """An output that other layers read, and one that is the input."""
    build = Builder()
    build.add("Relu", build.add("MatMul", "x", build.weight(6, 8, fan_in=6)), to="features")
    build.add("MatMul", "features", build.weight(8, 2, fan_in=8), to="kind")
    build.add("Identity", "x", to="same")
    return build.case({"x": ("n", 6)}, ["features", "kind", "same"])


def _sequence() -> Case:
    build = Builder()
    y = build.add("Relu", build.add("Conv", "x", build.weight(8, 4, 3), dilations=[2], pads=[2, 2]))
    y = build.add(
        "AveragePool", build.add("Conv", y, build.weight(8, 8, 3), pads=[1, 1]), kernel_shape=[2], strides=[2]
    )
    pooled = build.add("ReduceMean", y, axes=[2], keepdims=0)
    build.add("MatMul", pooled, build.weight(8, 2, fan_in=8), to="left")
    build.add("ReduceMax", y, axes=[2], keepdims=0, to="right")
    return build.case({"x": ("n", 4, 16)}, ["left", "right"])


def _fixed_batch() -> Case:
    build = Builder()
    y = build.add("Relu", build.add("MatMul", "x", build.weight(6, 8, fan_in=6)))
    build.add("MatMul", y, build.weight(8, 2, fan_in=8), to="left")
    build.add("MatMul", y, build.weight(8, 3, fan_in=8), to="right")
    return build.case({"x": (4, 6)}, ["left", "right"])


CASES: dict[str, Callable[[], Case]] = {
    "residual add": lambda: _image_net(_residual, 8),
    "depthwise": lambda: _image_net(_depthwise, 8),
    "channel shuffle": lambda: _image_net(_shuffled, 8),
    "transposed convolutions": lambda: _image_net(_transposed, 8),
    "encoder and decoder": lambda: _image_net(_encoder_decoder, 8),
    "squeeze and excite": lambda: _image_net(_squeezed, 8),
    "GELU and SiLU": lambda: _image_net(_smooth, 8),
    "padding and ReLU6": lambda: _image_net(_padded, 8),
    **{
        f"opset {opset}": lambda opset=opset: _image_net(_residual, 8, opset=opset)
        for opset in (11, 13, 15, 19, 21, 23)
    },
    "shared weight": _shared_weight,
    "tied embedding": _tied_embedding,
    "attention": _attention,
    "LSTM": lambda: _recurrent("LSTM", 4),
    "GRU": lambda: _recurrent("GRU", 3),
    "If": lambda: _branching("If"),
    "Loop": lambda: _branching("Loop"),
    "two inputs": _two_inputs,
    "forms of Gemm": _gemm_forms,
    "output that is read, output that is the input": _inner_output,
    "one-dimensional convolutions": _sequence,
    "fixed batch": _fixed_batch,
}

BOUND_DB = 20.0
"""A tenth of an output's spread; nets this small have little to average errors out."""


def _face(session: onnxruntime.InferenceSession) -> list[tuple[str, str, int]]:
    return [(item.name, item.type, len(item.shape)) for item in (*session.get_inputs(), *session.get_outputs())]


@pytest.mark.parametrize("placement", ["all", "measured"])
@pytest.mark.parametrize("name", CASES)
def test_it_quantizes_and_answers_as_before(name: str, placement: PlacementName) -> None:
    """At batch 1 and 3 where the graph leaves that open."""
    case = CASES[name]()
    model = case.model.SerializeToString()
    batches = [case.feeds(32, seed) for seed in range(8)]
    int8 = quantize_static(model, batches, placement=placement)
    before, after = open_session(model), open_session(int8)
    assert _face(after) == _face(before)
    for samples in (1, 3):
        feeds = case.feeds(samples, 8)
        for expected, found in zip(before.run(None, feeds), after.run(None, feeds), strict=True):
            assert found.shape == expected.shape
            assert found.dtype == expected.dtype
    for output, level in output_noise(before, after, case.feeds(64, 9)).items():
        assert level > BOUND_DB, output
