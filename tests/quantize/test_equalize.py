"""Tests of :mod:`mtl_edge.quantize.equalize`."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.quantize.equalize import equalize, find_junctions
from mtl_edge.quantize.layers import layers_of
from mtl_edge.quantize.prepare import prepare

RNG = np.random.default_rng(0)


def _unequal(*shape: int) -> np.ndarray:
    """Weights whose output channels, the first axis, are of very different sizes."""
    sizes = 10.0 ** RNG.uniform(-2, 2, shape[0])
    return (RNG.standard_normal(shape) * sizes.reshape(-1, *[1] * (len(shape) - 1))).astype(np.float32)


def _model(
    nodes: list[onnx.NodeProto], weights: Mapping[str, np.ndarray], reads: list[int | str], *outputs: str
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, reads)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for position, node in enumerate(proto.graph.node):
        node.name = f"node_{position}"
    return bytes(proto.SerializeToString())


def _mobile() -> bytes:
    """Convolution, depthwise convolution, grouped convolution, two heads: a chain, a pool, a branch."""
    weights = {
        "w0": _unequal(12, 3, 3, 3),
        "b0": _unequal(12),
        "w1": _unequal(12, 1, 3, 3),
        "b1": _unequal(12),
        "w2": _unequal(8, 6, 3, 3),
        "w3": _unequal(5, 8),
        "b3": _unequal(5),
        "w4": _unequal(4, 8).T.copy(),
        "w5": _unequal(2, 5),
        "flat": np.array([0, -1]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w1", "b1"], ["c"], group=12, strides=[2, 2]),
        helper.make_node("LeakyRelu", ["c"], ["d"], alpha=0.1),
        helper.make_node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2]),
        helper.make_node("Conv", ["e", "w2"], ["f"], group=2, pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("GlobalAveragePool", ["g"], ["h"]),
        helper.make_node("Reshape", ["h", "flat"], ["i"]),
        helper.make_node("Gemm", ["i", "w3", "b3"], ["j"], transB=1),
        helper.make_node("Relu", ["j"], ["k"]),
        helper.make_node("MatMul", ["i", "w4"], ["left"]),
        helper.make_node("Gemm", ["k", "w5"], ["right"], transB=1),
    ]
    return _model(nodes, weights, ["n", 3, 12, 12], "left", "right")


def test_answers_stay_the_same_but_for_rounding() -> None:
    """Whatever stands between the layers: ReLUs, pools, reshaping, several readers."""
    model, x = _mobile(), RNG.standard_normal((16, 3, 12, 12)).astype(np.float32)
    assert len(find_junctions(onnx.load_from_string(model).graph)) == 4
    expected = onnxruntime.InferenceSession(model).run(None, {"x": x})
    found = onnxruntime.InferenceSession(equalize(model)).run(None, {"x": x})
    for mine, theirs in zip(found, expected, strict=True):
        assert np.abs(mine - theirs).max() < 2e-5 * np.abs(theirs).max()


def test_ranges_of_weights_meet() -> None:
    """What makes a channel and what reads it have the same largest weight, through the whole chain."""
    graph = onnx.load_from_string(equalize(_mobile())).graph
    for junction in find_junctions(graph):
        made = junction.maker.largest_by_output(junction.maker.weight)
        read = np.max([layer.largest_by_input(layer.weight) for layer in junction.readers], axis=0)
        assert made == pytest.approx(read, rel=0.05)


def _pair(*between: onnx.NodeProto, last: str, outputs: tuple[str, ...] = ("y",), also: tuple[str, ...] = ()) -> bytes:
    weights = {"w0": _unequal(4, 3, 1, 1), "w1": _unequal(4, 4, 1, 1), "zero": np.float32(0), "six": np.float32(6)}
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"]),
        *between,
        helper.make_node("Conv", [last, "w1"], ["y"]),
        *(helper.make_node("Sigmoid", [name], [f"{name}_read"]) for name in also),
    ]
    return _model(nodes, weights, ["n", 3, 4, 4], *outputs, *(f"{name}_read" for name in also))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(_pair(helper.make_node("Clip", ["a", "zero", "six"], ["b"]), last="b"), id="ReLU6"),
        pytest.param(_pair(helper.make_node("Sigmoid", ["a"], ["b"]), last="b"), id="sigmoid"),
        pytest.param(_pair(helper.make_node("Softmax", ["a"], ["b"], axis=1), last="b"), id="softmax"),
        pytest.param(_pair(helper.make_node("Add", ["a", "a"], ["b"]), last="b"), id="residual"),
        pytest.param(_pair(last="a", outputs=("y", "a")), id="also an output"),
        pytest.param(_pair(last="a", also=("a",)), id="another reader"),
        pytest.param(
            _pair(helper.make_node("Transpose", ["a"], ["b"], perm=[0, 3, 2, 1]), last="b"), id="channels elsewhere"
        ),
    ],
)
def test_what_would_change_the_answers_is_left_alone(model: bytes) -> None:
    """Operators that are not homogeneous, and values that somebody else reads, too."""
    assert not find_junctions(onnx.load_from_string(model).graph)
    assert equalize(model) == model


def test_a_product_along_another_axis_than_the_channels_is_left_alone() -> None:
    """A matrix product multiplies the last axis, which of a map is its width, even if both have the same size."""
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w1"], ["y"]),
    ]
    model = _model(nodes, {"w0": _unequal(4, 3, 1, 1), "w1": _unequal(4, 4)}, ["n", 3, 4, 4], "y")
    assert len(layers_of(onnx.load_from_string(model).graph)) == 2
    assert equalize(model) == model


def test_dead_channels_stay_as_they_are() -> None:
    """A channel that nobody makes, or nobody reads, has no range to meet another's."""
    weights = {"w0": _unequal(4, 3), "w1": _unequal(2, 4)}
    weights["w0"][1] = 0
    weights["w1"][:, 2] = 0
    nodes = [
        helper.make_node("Gemm", ["x", "w0"], ["a"], transB=1),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "w1"], ["y"], transB=1),
    ]
    model = prepare(_model(nodes, weights, ["n", 3], "y"))
    first, second = layers_of(onnx.load_from_string(equalize(model)).graph)
    assert not first.weight[1].any()
    assert (first.weight[2] == weights["w0"][2]).all()
    assert not second.weight[:, 2].any()
    assert np.isfinite(first.weight).all()
    assert np.isfinite(second.weight).all()
