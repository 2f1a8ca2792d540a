"""Tests of :mod:`mtl_edge.quantize.weights`."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.errors import ModelError
from mtl_edge.quantize.prepare import prepare
from mtl_edge.quantize.weights import bits_of_weights, with_small_weights
from mtl_edge.runtime import open_session

RNG = np.random.default_rng(0)
LAYERS = {
    "Conv": ((16, 8, 3, 3), (1, 8, 9, 9), {}),
    "ConvTranspose": ((8, 16, 3, 3), (1, 8, 9, 9), {}),
    "MatMul": ((32, 24), (64, 32), {}),
    "Gemm": ((24, 32), (64, 32), {"transB": 1}),
}


def _model(kind: str, scale: float = 1.0) -> onnx.ModelProto:
    """One layer, whose first output channel is a thousand times smaller than the others."""
    shape, reads, attributes = LAYERS[kind]
    weight = scale * RNG.standard_normal(shape).astype(np.float32)
    axis = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1, "Gemm": 0}[kind]
    np.moveaxis(weight, axis, 0)[0] /= 1000
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", "w"], ["y"], **attributes)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, reads)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight.astype(np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_answers_nearly_the_same_from_a_third_of_the_bytes(kind: str) -> None:
    """Each output channel has a scale of its own, so a small one keeps its precision."""
    model = _model(kind)
    before = model.SerializeToString()
    after = with_small_weights(model).SerializeToString()
    assert len(after) < 0.5 * len(before)
    x = {"x": RNG.standard_normal(LAYERS[kind][1]).astype(np.float32)}
    (expected,) = onnxruntime.InferenceSession(before).run(None, x)
    (found,) = onnxruntime.InferenceSession(after).run(None, x)
    axes = tuple(axis for axis in range(expected.ndim) if axis != 1)
    error = np.abs(found - expected).max(axis=axes) / np.abs(expected).max(axis=axes).clip(1e-6)
    assert error.max() < 0.05


@pytest.mark.parametrize("kind", LAYERS)
def test_the_runtime_folds_the_scales_when_it_loads(kind: str, tmp_path: Path) -> None:
    """What runs is the one layer, as in float."""
    model = with_small_weights(_model(kind)).SerializeToString()
    open_session(model, save_optimized=tmp_path / "runs.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "runs.onnx").graph.node]
    assert not {"Cast", "Mul", "DequantizeLinear"} & set(kinds)


def test_weights_of_nothing_but_zeros_stay_zeros() -> None:
    """No scale is zero."""
    model = with_small_weights(_model("MatMul", scale=0.0))
    (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": np.ones((64, 32), np.float32)})
    assert not found.any()


def test_what_saves_nothing_is_left_alone() -> None:
    """Small weights, and those that two layers share, which are stored once."""
    small = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")],
    )
    assert [node.op_type for node in with_small_weights(helper.make_model(small)).graph.node] == ["MatMul"]
    shared = _model("MatMul")
    shared.graph.node.append(helper.make_node("MatMul", ["x", "w"], ["z"]))
    shared.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    changed = with_small_weights(shared)
    assert sum(tensor.data_type == TensorProto.INT8 for tensor in changed.graph.initializer) == 1
    first, second = onnxruntime.InferenceSession(changed.SerializeToString()).run(
        None, {"x": RNG.standard_normal((64, 32)).astype(np.float32)}
    )
    np.testing.assert_array_equal(first, second)


def test_an_embedding_has_a_scale_for_each_row() -> None:
    """A rare word's small vector keeps its precision, and the table takes less than a third of its bytes."""
    table = RNG.standard_normal((200, 48)).astype(np.float32)
    table[7] /= 1000
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "words"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("words", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 48])],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    before = model.SerializeToString()
    after = with_small_weights(model).SerializeToString()
    assert len(after) < 0.33 * len(before)
    (found,) = onnxruntime.InferenceSession(after).run(None, {"words": np.arange(200)})
    assert (np.abs(found - table).max(axis=1) / np.abs(table).max(axis=1)).max() < 0.01


def test_small_weights_are_not_quantized_again() -> None:
    """Nobody takes a file with 8-bit weights for an fp32 one."""
    model = _model("MatMul")
    assert not bits_of_weights(model.graph)
    small = with_small_weights(model)
    assert bits_of_weights(small.graph)
    with pytest.raises(ModelError, match="found weights of 8 bits: it is quantized already"):
        prepare(small.SerializeToString())
