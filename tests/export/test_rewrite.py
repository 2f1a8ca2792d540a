"""Tests of :mod:`mtl_edge.export.rewrite`."""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.export.rewrite import unsign_zeros, use_global_average_pool


def _mean(axes: list[int], shape: list[int | str], keepdims: int = 1) -> ir.Model:
    node = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=keepdims)
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(axes, np.int64), "axes")],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))


@pytest.mark.parametrize(
    ("axes", "sizes"), [([2, 3], [5, 7]), ([3, 2], [5, 7]), ([-1, -2], [5, 7]), ([2], [5]), ([-1], [5])]
)
def test_a_mean_over_an_image_or_a_sequence_becomes_a_pool_with_the_same_values(
    axes: list[int], sizes: list[int]
) -> None:
    """However the axes are written."""
    model = use_global_average_pool(_mean(axes, ["n", 3, *sizes]))
    assert [node.op_type for node in model.graph] == ["GlobalAveragePool"]
    x = np.random.default_rng(0).standard_normal((2, 3, *sizes)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(found, x.mean(tuple(axes), keepdims=True), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("axes", "shape", "keepdims"), [([1, 2], ["n", 3, 5, 7], 1), ([1, 2], ["n", 3, 5], 1), ([2, 3], ["n", 3, 5, 7], 0)]
)
def test_other_means_stay(axes: list[int], shape: list[int | str], keepdims: int) -> None:
    """Other axes, other ranks, dropped axes."""
    model = use_global_average_pool(_mean(axes, shape, keepdims))
    assert [node.op_type for node in model.graph] == ["ReduceMean"]


def test_zeros_lose_their_signs() -> None:
    """All other values of a weight stay, bit by bit, and so do whole numbers."""
    weight = np.array([[-0.0, 0.0, -1e-45], [np.nan, -np.inf, 3.0]], np.float32)
    model = _mean([2, 3], ["n", 3, 5, 7])
    model.graph.initializers["weight"] = ir.Value(name="weight", const_value=ir.tensor(weight, name="weight"))
    unsign_zeros(model)
    proto = ir.to_proto(model)
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    assert not np.signbit(found["weight"][0, :2]).any()
    assert found["weight"][0, 2:].tobytes() + found["weight"][1].tobytes() == weight.tobytes()[8:]
    assert found["axes"].tolist() == [2, 3]
