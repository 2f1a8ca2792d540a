"""Tests of :mod:`mtl_edge.quantize.audit`."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.quantize.audit import audit
from mtl_edge.quantize.static import quantize_static

RNG = np.random.default_rng(0)


def _model(nodes: list[onnx.NodeProto]) -> bytes:
    weight = RNG.standard_normal((8, 8, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8, 6, 6])],
        [numpy_helper.from_array(weight, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(proto.SerializeToString())


def _quantized(model: bytes) -> bytes:
    return quantize_static(model, [{"x": RNG.standard_normal((4, 8, 6, 6)).astype(np.float32)}])


CONV = helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], name="conv")


def test_a_fused_graph_has_no_island() -> None:
    """Convolution and residual addition run in int8; the conversions at the ends are counted as such."""
    found = audit(_quantized(_model([CONV, helper.make_node("Add", ["c", "x"], ["y"])])))
    assert found.count("int8") == {"QLinearConv": 1, "QLinearAdd": 1}
    assert found.count("boundary") == {"QuantizeLinear": 1, "DequantizeLinear": 1}
    assert found.islands == ()


def test_an_operator_without_an_int8_kernel_is_an_island() -> None:
    """It is named with the reason: what comes in is quantized, what goes out is, and it computes in float."""
    nodes = [CONV, helper.make_node("Erf", ["c"], ["e"], name="erf")]
    nodes.append(helper.make_node("Conv", ["e", "w"], ["y"], pads=[1, 1, 1, 1], name="conv2"))
    (island,) = audit(_quantized(_model(nodes))).islands
    assert island.op_type == "Erf"
    assert "quantized" in island.reason


def test_a_float_model_has_no_islands() -> None:
    """Nothing is quantized, so nothing is converted."""
    found = audit(_model([CONV, helper.make_node("Relu", ["c"], ["y"])]))
    assert not found.islands
    assert not found.count("int8")
    assert found.count("float")


def test_what_is_resized_in_8_bits_is_no_island() -> None:
    """The kernel takes numbers of any type; only in a float graph it is float."""
    resize = helper.make_node("Resize", ["c", "", "scales"], ["r"], mode="nearest", name="resize")
    nodes = [CONV, resize, helper.make_node("Conv", ["r", "w"], ["y"], pads=[1, 1, 1, 1], name="conv2")]
    proto = onnx.load_from_string(_model(nodes))
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"))
    proto.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 12
    proto.graph.output[0].type.tensor_type.shape.dim[3].dim_value = 12
    model = proto.SerializeToString()
    assert audit(_quantized(model)).count("int8") == {"QLinearConv": 2, "Resize": 1}
    assert audit(model).count("float")["Resize"] == 1
