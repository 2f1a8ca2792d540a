"""Tests of :mod:`mtl_edge.quantize.layers`."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.quantize.layers import layers_of

RNG = np.random.default_rng(0)
KINDS = {
    "convolution": ("Conv", (6, 4, 3, 3), (2, 4, 9, 8), {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    "grouped": ("Conv", (6, 2, 3, 3), (2, 4, 9, 8), {"group": 2, "dilations": [2, 2]}),
    "depthwise": ("Conv", (8, 1, 3, 3), (2, 4, 9, 8), {"group": 4, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "signal": ("Conv", (6, 4, 5), (2, 4, 11), {"auto_pad": "SAME_LOWER", "strides": [3]}),
    "matrix": ("MatMul", (4, 5), (2, 3, 4), {}),
    "gemm": ("Gemm", (4, 5), (7, 4), {}),
    "transposed": ("Gemm", (5, 4), (7, 4), {"transB": 1}),
}


def _model(kind: str, *, readers: int = 1) -> bytes:
    operator, shape, reads, attributes = KINDS[kind]
    names = [f"y{index}" for index in range(readers)]
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], [name], **attributes) for name in names],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, reads)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(RNG.standard_normal(shape).astype(np.float32), "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_is_the_product_of_its_rows_and_its_matrices(kind: str) -> None:
    """What rounding takes a layer for is what ONNX Runtime computes, whatever the padding, strides or groups."""
    model = _model(kind)
    x = RNG.standard_normal(KINDS[kind][2]).astype(np.float32)
    (layer,) = layers_of(onnx.load_from_string(model).graph)
    (answer,) = onnxruntime.InferenceSession(model).run(None, {"x": x})
    expected = layer.channels_of(answer)
    products = layer.rows(x, 10**6, np.random.default_rng(0)) @ layer.matrices(layer.weight)  # (G, M, N)
    found = products.transpose(1, 0, 2).reshape(len(expected), -1)
    assert found == pytest.approx(expected, abs=1e-4)
    assert (layer.weights_of(layer.matrices(layer.weight)) == layer.weight).all()


@pytest.mark.parametrize("kind", KINDS)
def test_scaling_what_comes_in_is_scaling_the_weights_that_it_meets(kind: str) -> None:
    """Channel by channel, in every layout of weights."""
    model = _model(kind)
    x = RNG.standard_normal(KINDS[kind][2]).astype(np.float32)
    proto = onnx.load_from_string(model)
    (layer,) = layers_of(proto.graph)
    factors = RNG.uniform(0.5, 2, layer.inputs)
    wide = factors.reshape(-1, *[1] * (x.ndim - 2)) if layer.node.op_type == "Conv" else factors
    scaled = (layer.weight * layer.per_input(factors)).astype(np.float32)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(scaled, "w"))
    (found,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    (expected,) = onnxruntime.InferenceSession(model).run(None, {"x": (x * wide).astype(np.float32)})
    assert found == pytest.approx(expected, abs=1e-4)


def test_weights_that_two_nodes_read_belong_to_no_layer() -> None:
    """What suits one of them need not suit the other."""
    assert not layers_of(onnx.load_from_string(_model("gemm", readers=2)).graph)
