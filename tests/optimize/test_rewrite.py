"""Tests of :mod:`mtl_edge.optimize.rewrite`."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper

from mtl_edge.optimize.rewrite import rewritten
from mtl_edge.runtime import open_session

_RNG = np.random.default_rng(0)
_WEIGHT = _RNG.standard_normal((4, 3)).astype(np.float32)
_BIAS = _RNG.standard_normal(3).astype(np.float32)
_KERNEL = _RNG.standard_normal((2, 4, 3, 3)).astype(np.float32)
_PICTURE = ["n", 4, 5, 5]
_ROWS = ["n", 4]


def _node(kind: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


@pytest.mark.parametrize(
    ("shape", "nodes", "constants", "left"),
    [
        (
            _ROWS,
            [_node("Identity", "x", "a"), _node("Dropout", "a", "b"), _node("Relu", "b", "y")],
            {},
            ["Relu"],
        ),
        (_ROWS, [_node("Cast", "x", "a", to=onnx.TensorProto.FLOAT), _node("Relu", "a", "y")], {}, ["Relu"]),
        (
            _ROWS,
            [_node("Reshape", "x r", "a"), _node("Reshape", "a s", "b"), _node("Relu", "b", "y")],
            {"r": np.array([2, -1]), "s": np.array([4, -1])},
            ["Reshape", "Relu"],
        ),
        (
            _ROWS,
            [_node("Add", "c d", "e"), _node("MatMul", "x w", "a"), _node("Add", "a e", "y")],
            {"w": _WEIGHT, "c": _BIAS, "d": _BIAS},
            ["Gemm"],
        ),
        (
            _PICTURE,
            [_node("Pad", "x p", "a"), _node("Conv", "a k", "y")],
            {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "k": _KERNEL},
            ["Conv"],
        ),
        (_ROWS, [_node("Relu", "x", "a"), _node("Relu", "x", "b"), _node("Add", "a b", "y")], {}, ["Relu", "Add"]),
    ],
    ids=["identity", "cast", "reshapes", "bias", "pad", "twice"],
)
def test_less_computes_the_same_bits(
    build: Callable[..., bytes],
    shape: list[str | int],
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    left: list[str],
) -> None:
    """The graph loses nodes; inputs, outputs and versions stay."""
    model = build(shape, ["y"], nodes, constants)
    simpler = rewritten(model)
    proto = onnx.load_from_string(simpler)
    assert [node.op_type for node in proto.graph.node] == left
    assert proto.ir_version == onnx.load_from_string(model).ir_version
    assert proto.opset_import == onnx.load_from_string(model).opset_import
    x = {"x": _RNG.standard_normal([size if isinstance(size, int) else 6 for size in shape]).astype(np.float32)}
    for mine, theirs in zip(open_session(simpler).run(None, x), open_session(model).run(None, x), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_sum_that_widens_a_product_is_no_bias(build: Callable[..., bytes]) -> None:
    """``Gemm`` has no such form."""
    nodes = [_node("MatMul", "x w", "a"), _node("Add", "a b", "y")]
    model = build([1, 4], ["y"], nodes, {"w": _WEIGHT, "b": np.ones((5, 3), np.float32)})
    assert [node.op_type for node in onnx.load_from_string(rewritten(model)).graph.node] == ["MatMul", "Add"]
