"""What users of other quantizers report: each failure has a test here that it does not happen."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.cli import main
from mtl_edge.quantize.audit import audit
from mtl_edge.quantize.calibrate import calibrate
from mtl_edge.quantize.noise import output_noise
from mtl_edge.quantize.prepare import prepare
from mtl_edge.quantize.static import quantize_static
from mtl_edge.quantize.target import TargetName
from mtl_edge.runtime import open_session

RNG = np.random.default_rng(0)


def _weight(name: str, *shape: int) -> onnx.TensorProto:
    values = RNG.standard_normal(shape) * int(np.prod(shape[1:])) ** -0.5
    return numpy_helper.from_array(values.astype(np.float32), name)


def _model(nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto], outputs: dict[str, list[object]]) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    found = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    graph = helper.make_graph(nodes, "graph", [x], found, tensors)
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid("own", 1)] if nodes[0].domain else [])]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


@pytest.fixture(scope="module")
def residual() -> bytes:
    """A residual network with two heads: one asks for classes, one for a number with a large mean."""
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["c"], pads=[1] * 4),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("Gemm", ["g", "w2"], ["kind"]),
        helper.make_node("Gemm", ["g", "w3", "mean"], ["number"]),
    ]
    tensors = [_weight("w0", 8, 3, 3, 3), _weight("w1", 8, 8, 3, 3), _weight("w2", 8, 4), _weight("w3", 8, 1)]
    tensors.append(numpy_helper.from_array(np.float32([1000]), "mean"))
    return _model(nodes, tensors, {"kind": ["n", 4], "number": ["n", 1]})


def _images(count: int, size: int = 8) -> np.ndarray:
    return RNG.standard_normal((count, 3, size, size)).astype(np.float32)


def test_calibration_holds_no_more_of_many_samples_than_of_few(residual: bytes) -> None:
    """Histogram methods elsewhere keep all activations: 123 GB for 32 samples (onnxruntime issue 10503)."""
    prepared = prepare(residual)

    def peak(batches: int) -> int:
        def stream() -> Iterator[dict[str, np.ndarray]]:
            for _ in range(batches):
                yield {"x": _images(32, 16)}

        tracemalloc.start()
        calibrate(prepared, stream())
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(4), peak(64)
    assert many < 1.2 * few


def test_sums_and_pooling_run_in_int8(residual: bytes) -> None:
    """Elsewhere they are dequantized and quantized again (onnxruntime issue 12487)."""
    found = audit(quantize_static(residual, [{"x": _images(64)}], target="x86-vnni"))
    assert not found.islands
    assert found.count("int8")["QLinearConv"] == 2
    assert found.count("int8")["QLinearAdd"] == 1
    assert found.count("int8")["QLinearGlobalAveragePool"] == 1
    assert not found.count("float")


@pytest.mark.parametrize("target", ["x86-vnni", "x86-avx2", "arm64"])
def test_no_head_collapses(residual: bytes, target: TargetName) -> None:
    """Elsewhere all confidences become zero until nodes are listed by hand (onnxruntime issues 14233 and 10787)."""
    session = open_session(residual)
    for level in output_noise(
        session, open_session(quantize_static(residual, [{"x": _images(64)}], target=target)), {"x": _images(64)}
    ).values():
        assert level > 25


def test_every_output_is_there(residual: bytes) -> None:
    """Elsewhere some of several outputs are None after quantization (onnxruntime issues 14501 and 15093)."""
    answers = open_session(quantize_static(residual, [{"x": _images(64)}])).run(None, {"x": _images(2)})
    assert [answer.shape for answer in answers] == [(2, 4), (2, 1)]


def test_the_optimizer_does_not_change_answers(residual: bytes) -> None:
    """Elsewhere it cost five points of accuracy (onnxruntime issue 11576)."""
    int8 = quantize_static(residual, [{"x": _images(64)}], target="x86-vnni")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = onnxruntime.InferenceSession(int8, options, providers=["CPUExecutionProvider"])
    for level in output_noise(plain, open_session(int8), {"x": _images(64)}).values():
        assert level > 30


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_has_a_scale_for_each_output_channel(groups: int) -> None:
    """Elsewhere it has one for each input channel (onnxruntime issue 19694); in groups, channels share theirs."""
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("ConvTranspose", ["b", "w1"], ["up"], strides=[2, 2], group=groups, name="up"),
    ]
    first = RNG.standard_normal((8, 6 // groups, 2, 2)).astype(np.float32)
    first *= np.float32([1, 10, 100, 1, 10, 100])[: 6 // groups, None, None]
    tensors = [_weight("w0", 8, 3, 3, 3), numpy_helper.from_array(first, "w1")]
    model = _model(nodes, tensors, {"up": ["n", 6, "p", "q"]})
    int8 = quantize_static(model, [{"x": _images(64)}])
    before, after = (open_session(form).run(None, {"x": _images(1)})[0].shape for form in (model, int8))
    assert before == after
    x = {"x": _images(16)}
    expected, found = (open_session(form).run(None, x)[0] for form in (model, int8))
    error = np.abs(expected - found).mean(axis=(0, 2, 3)) / expected.std(axis=(0, 2, 3))
    assert error.max() < 0.05


def test_sizes_that_are_computed_do_not_stop_it() -> None:
    """Elsewhere a decoder that resizes to its skip connection fails with incomplete symbolic shape inference."""
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["small"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Shape", ["b"], ["size"], start=2),
        helper.make_node("Shape", ["small"], ["front"], end=2),
        helper.make_node("Concat", ["front", "size"], ["sizes"], axis=0),
        helper.make_node("Resize", ["small", "", "", "sizes"], ["up"], mode="nearest"),
        helper.make_node("Concat", ["b", "up"], ["both"], axis=1),
        helper.make_node("Conv", ["both", "w2"], ["map"], pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["small"], ["mean"]),
    ]
    tensors = [_weight("w0", 8, 3, 3, 3), _weight("w1", 8, 8, 3, 3), _weight("w2", 2, 16, 3, 3)]
    model = _model(nodes, tensors, {"map": ["n", 2, "h", "w"], "mean": ["n", 8, 1, 1]})
    int8 = quantize_static(model, [{"x": _images(32)} for _ in range(2)])
    before, after = open_session(model), open_session(int8)
    for size in (8, 11):
        levels = output_noise(before, after, {"x": _images(16, size)})
        assert min(levels.values()) > 20


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    """Samples that fit the models here."""
    np.savez(tmp_path / "calib.npz", x=_images(64))
    return tmp_path / "calib.npz"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("operator of its own", "Swirl"),
        ("float16", "must be fp32, found weights in float16"),
        ("float64", "Could not find an implementation for Conv"),  # says the runtime
    ],
)
def test_what_cannot_be_quantized_is_told_in_one_line(tmp_path: Path, calibration: Path, form: str, said: str) -> None:
    """With exit code 2, and no file."""
    own = form == "operator of its own"
    nodes = [
        helper.make_node("Swirl" if own else "Relu", ["x"], ["a"], domain="own" if own else ""),
        helper.make_node("Conv", ["a", "w"], ["b"]),
    ]
    model = onnx.load_from_string(_model(nodes, [_weight("w", 4, 3, 3, 3)], {"b": ["n", 4, "p", "q"]}))
    if not own:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(form))
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = kind
        weight = numpy_helper.to_array(model.graph.initializer[0]).astype(form)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
        np.savez(calibration, x=_images(64).astype(form))
    source, output = tmp_path / "model.onnx", tmp_path / "int8.onnx"
    onnx.save(model, source)
    done = CliRunner().invoke(
        main, ["quantize", str(source), "--calib", str(calibration), "-o", str(output), "--no-cache"]
    )
    assert done.exit_code == 2, done.output
    lines = done.output.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not output.exists()
