"""Tests of :mod:`mtl_edge.quantize.trim`."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.quantize.audit import audit
from mtl_edge.quantize.trim import trimmed


def _model() -> onnx.ModelProto:
    """Two layers with long names, equal biases and a branch."""
    weight, bias = np.arange(9, dtype=np.float32).reshape(3, 3), np.ones(3, np.float32)
    nodes = [
        helper.make_node("Gemm", ["image", "block.0.weight", "block.0.bias"], ["block.0.output"], name="block.0"),
        helper.make_node("Relu", ["block.0.output"], ["block.0.relu"], doc_string="made by somebody"),
        helper.make_node("Gemm", ["block.0.relu", "block.1.weight", "block.1.bias"], ["a"], name="block.1"),
        helper.make_node("QuantizeLinear", ["block.0.relu", "scale", "zero"], ["codes"], name="quantize.block.0"),
    ]
    tensors = {"block.0.weight": weight, "block.0.bias": bias, "block.1.weight": weight.T, "block.1.bias": bias}
    tensors |= {"scale": np.float32(0.5), "zero": np.uint8(0)}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3])],
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("codes", TensorProto.UINT8, ["n", 3]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("gone", 1)])


def test_a_trimmed_model_computes_the_same_in_less() -> None:
    """To the last bit; a name that an output has is given to nothing else."""
    model = _model()
    model.ir_version = 9
    before = model.SerializeToString()
    after = trimmed(model)
    assert len(after) < 0.75 * len(before)
    onnx.checker.check_model(onnx.load_from_string(after), full_check=True)
    x = {"image": np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)}
    for mine, theirs in zip(
        onnxruntime.InferenceSession(after).run(None, x), onnxruntime.InferenceSession(before).run(None, x), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_layers_keep_their_names_and_equal_constants_are_one() -> None:
    """Four tensors were two pairs of equal ones, but for a transposed weight."""
    graph = onnx.load_from_string(trimmed(_model())).graph
    assert [node.name for node in graph.node] == ["block.0", "", "block.1", ""]
    assert graph.node[0].input[2] == graph.node[2].input[2]
    assert graph.node[0].input[1] != graph.node[2].input[1]
    assert len(graph.initializer) == 5


def test_what_goes_without_saying_is_not_said() -> None:
    """Attributes with their operator's default go, and others stay; the answers are the same to the bit."""
    nodes = [
        helper.make_node(
            "Conv", ["x", "w"], ["y"], dilations=[1, 1], group=1, kernel_shape=[3, 3], pads=[0, 0, 0, 0], strides=[2, 2]
        ),
        helper.make_node("MaxPool", ["y"], ["z"], kernel_shape=[2, 2], pads=[0, 1, 0, 0], strides=[1, 1]),
    ]
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9)).astype(np.float32)
    weight = numpy_helper.from_array(np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32), "w")
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    (before,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    after = trimmed(model)
    conv, pool = onnx.load_from_string(after).graph.node
    assert {item.name for item in conv.attribute} == {"strides"}
    assert {item.name for item in pool.attribute} == {"kernel_shape", "pads"}
    np.testing.assert_array_equal(onnxruntime.InferenceSession(after).run(None, {"x": x})[0], before)


def test_a_graph_within_a_graph_keeps_its_names() -> None:
    """It may use what is outside of it by name."""
    inner = helper.make_graph(
        [helper.make_node("Identity", ["a.long.name"], ["inner"])],
        "inner",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("Relu", ["x"], ["a.long.name"]),
        helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=inner),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(True), "yes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    (found,) = onnxruntime.InferenceSession(trimmed(model)).run(None, {"x": np.array([-1, 2], np.float32)})
    assert found.tolist() == [0, 2]


def test_symmetric_biases_and_the_kernels_of_weights_need_no_words() -> None:
    """Of an int8 layer the zero point of the bias goes, and that of the weights stays, for Gemm is int8 only so."""
    rng = np.random.default_rng(0)
    tensors = {
        "x_scale": np.float32(0.02),
        "x_zero": np.uint8(128),
        "w_8": rng.integers(-127, 128, (4, 3)).astype(np.int8),
        "w_scale": np.full(4, 0.01, np.float32),
        "w_zero": np.zeros(4, np.int8),
        "b_32": rng.integers(-999, 1000, 4).astype(np.int32),
        "b_scale": np.full(4, 2e-4, np.float32),
        "b_zero": np.zeros(4, np.int32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["x_8"]),
        helper.make_node("DequantizeLinear", ["x_8", "x_scale", "x_zero"], ["x_float"]),
        helper.make_node("DequantizeLinear", ["w_8", "w_scale", "w_zero"], ["w"], axis=0),
        helper.make_node("DequantizeLinear", ["b_32", "b_scale", "b_zero"], ["b"], axis=0),
        helper.make_node("Gemm", ["x_float", "w", "b"], ["y"], name="layer", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    x = {"x": rng.standard_normal((5, 3)).astype(np.float32)}
    (before,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, x)
    after = trimmed(model)
    np.testing.assert_array_equal(onnxruntime.InferenceSession(after).run(None, x)[0], before)
    assert [len(node.input) for node in onnx.load_from_string(after).graph.node] == [3, 3, 3, 2, 3]
    assert {node.op_type for node in audit(after).nodes if node.precision == "int8"} == {"QGemm"}


def test_names_are_short_and_those_of_what_is_read_most_are_shortest() -> None:
    """Of sixty values one is read by all others; there are fewer letters than values."""
    nodes = [helper.make_node("Relu", ["input"], ["common value"])]
    nodes += [helper.make_node("Add", ["common value", "constant"], [f"value number {at}"]) for at in range(60)]
    nodes.append(helper.make_node("Sum", [f"value number {at}" for at in range(60)], ["output"]))
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [3])],
        [numpy_helper.from_array(np.ones(3, np.float32), "constant")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    written = onnx.load_from_string(trimmed(model)).graph
    names = {name for node in written.node for name in (*node.input, *node.output)}
    assert len(names) == 64
    assert len(written.node[0].output[0]) == len(written.initializer[0].name) == 1
    assert sorted(map(len, names - {"input", "output"})) == [1] * 52 + [2] * 10
