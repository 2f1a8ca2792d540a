"""Static int8 of any fp32 model, without torch."""

import typing

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.errors import DataError, ModelError
from mtl_edge.quantize.ranges import Method
from mtl_edge.quantize.refinements import Refinements
from mtl_edge.quantize.static import quantize_static

RNG = np.random.default_rng(0)
PLAIN = Refinements(equalize=False, rounding="nearest", correct_bias=False)
BATCHES = [{"x": RNG.standard_normal((8, 3, 8, 8)).astype(np.float32)} for _ in range(4)]


@pytest.fixture(scope="module")
def model() -> bytes:
    """Convolution, ReLU, a residual addition; channels of very different sizes."""
    weight = (
        RNG.standard_normal((3, 3, 3, 3)).astype(np.float32) * np.array([1, 0.1, 0.01], np.float32)[:, None, None, None]
    )
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Add", ["r", "x"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [numpy_helper.from_array(weight, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize("method", typing.get_args(Method))
def test_int8_outputs_stay_close_to_float(model: bytes, method: Method) -> None:
    """More than 25 dB of signal to quantization noise, with each way to find ranges."""
    x = BATCHES[0]
    (expected,) = onnxruntime.InferenceSession(model).run(None, x)
    (found,) = onnxruntime.InferenceSession(quantize_static(model, BATCHES, method=method)).run(None, x)
    noise = ((found - expected) ** 2).mean()
    assert 10 * np.log10((expected**2).mean() / noise) > 25


def test_weights_are_int8_with_one_scale_per_output_channel(model: bytes) -> None:
    """A channel a hundred times smaller than another keeps its precision."""
    graph = onnx.load_from_string(quantize_static(model, BATCHES, target="x86-vnni")).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    (layer,) = [node for node in graph.node if node.op_type == "Conv"]
    weight, scale = (tensors[name] for name in makers[layer.input[1]].input[:2])
    assert (weight.dtype, scale.shape) == (np.int8, (3,))
    assert np.abs(weight).reshape(3, -1).max(axis=1).tolist() == [127, 127, 127]


def test_the_same_input_gives_the_same_bytes(model: bytes) -> None:
    """Nothing of time or place gets into the file."""
    assert quantize_static(model, BATCHES) == quantize_static(model, BATCHES)


def _table_model() -> bytes:
    """Raw columns standardised, one matrix product, an output with little spread around a large mean."""
    weights = {
        "mean": np.array([50_000, 0.02, 7], np.float32),
        "std": np.array([10_000, 0.01, 2], np.float32),
        "w": RNG.standard_normal((3, 1)).astype(np.float32),
        "b": np.array([2000], np.float32),
    }
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["d"]),
        helper.make_node("Div", ["d", "std"], ["s"]),
        helper.make_node("IsNaN", ["s"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "s"], ["z"]),
        helper.make_node("Gemm", ["z", "w", "b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(value, name) for name, value in (weights | {"zero": np.float32(0)}).items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(proto.SerializeToString())


def test_raw_columns_and_outputs_far_from_zero_keep_their_resolution() -> None:
    """Neither the largest unit among the columns nor the mean of an output decides what 8 bits resolve."""
    model = _table_model()
    x = (RNG.standard_normal((64, 3)) * [10_000, 0.01, 2] + [50_000, 0.02, 7]).astype(np.float32)
    x[0, 0] = np.nan
    (expected,) = onnxruntime.InferenceSession(model).run(None, {"x": x})
    quantized = quantize_static(model, [{"x": x}])
    (found,) = onnxruntime.InferenceSession(quantized).run(None, {"x": x})
    assert np.abs(found - expected).max() < 0.05 * expected.std()
    operators = [node.op_type for node in onnx.load_from_string(quantized).graph.node]
    assert operators[-1] == "Gemm"
    assert operators.index("QuantizeLinear") == operators.index("Where") + 1


def test_layer_norms_stay_in_float() -> None:
    """They have no int8 kernel, so their weights keep their precision."""
    weights = {"scale": np.ones(8, np.float32), "bias": np.zeros(8, np.float32), "w": np.eye(8, dtype=np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("LayerNormalization", ["a", "scale", "bias"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 8]) for name in ("x", "y")]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "graph", shapes[:1], shapes[1:], initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = RNG.standard_normal((16, 8)).astype(np.float32)
    quantized = onnx.load_from_string(quantize_static(proto.SerializeToString(), [{"x": x}]))
    norm = next(node for node in quantized.graph.node if node.op_type == "LayerNormalization")
    floats = {t.name for t in quantized.graph.initializer if t.data_type == TensorProto.FLOAT and list(t.dims) == [8]}
    assert set(norm.input[1:]) <= floats


def test_a_quantized_model_is_refused(model: bytes) -> None:
    """Quantizing twice is a mistake."""
    with pytest.raises(ModelError, match="quantized already"):
        quantize_static(quantize_static(model, BATCHES), BATCHES)


def test_bytes_that_are_no_model_are_refused() -> None:
    """One clear line."""
    with pytest.raises(ModelError, match="the model is not readable ONNX"):
        quantize_static(b"\x00not a model", BATCHES)


def test_the_factor_of_a_bias_is_kept() -> None:
    """A Gemm may multiply its bias, which the quantizer forgets."""
    weights = {"w": RNG.standard_normal((3, 2)).astype(np.float32), "b": np.array([5, -7], np.float32)}
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], beta=3.0)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = RNG.standard_normal((64, 3)).astype(np.float32)
    quantized = quantize_static(proto.SerializeToString(), [{"x": x}], refinements=PLAIN)
    (found,) = onnxruntime.InferenceSession(quantized).run(None, {"x": x})
    assert np.abs(found - (x @ weights["w"] + 3 * weights["b"])).max() < 0.1


def test_data_that_can_be_read_only_once_is_enough_for_plain_rounding(model: bytes) -> None:
    """Refinements read it again, and say so."""
    assert quantize_static(model, iter(BATCHES), refinements=PLAIN) == quantize_static(
        model, BATCHES, refinements=PLAIN
    )
    with pytest.raises(DataError, match="must be such as can be read again"):
        quantize_static(model, iter(BATCHES))


def test_each_refinement_changes_the_model_on_its_own(model: bytes) -> None:
    """And all of them answer nearly as fp32 does, no worse than without."""
    steps = {
        "none": PLAIN,
        "compensated": msgspec.structs.replace(PLAIN, rounding="compensated"),
        "biases": msgspec.structs.replace(PLAIN, correct_bias=True),
        "default": Refinements(),
    }
    batches = [{"x": batch["x"].cumsum(axis=3)} for batch in BATCHES]  # neighbours are alike, as in a picture
    x = batches[0]
    (expected,) = onnxruntime.InferenceSession(model).run(None, x)
    files = {name: quantize_static(model, batches, refinements=chosen) for name, chosen in steps.items()}
    noise = {
        name: ((onnxruntime.InferenceSession(content).run(None, x)[0] - expected) ** 2).mean()
        for name, content in files.items()
    }
    assert len(set(files.values())) == 4
    assert max(noise.values()) < 1.1 * noise["none"]
