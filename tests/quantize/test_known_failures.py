"""What other tools are known to get wrong in static int8, one test for each: here it must not come back."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from mtl_edge.quantize.audit import audit
from mtl_edge.quantize.file import quantize_file
from mtl_edge.quantize.noise import output_noise
from mtl_edge.quantize.static import quantize_static
from mtl_edge.runtime import open_session

_RNG = np.random.default_rng(0)
_X = _RNG.standard_normal((64, 3, 16, 16)).astype(np.float32)

UNET = """
    g (float[N,3,H,W] x, float[8,3,3,3] w1, float[16,8,3,3] w2, float[16,8,2,2] w3, float[4,16,3,3] w4)
      => (float[N,4,h,w] y) {
    a = Conv<pads=[1,1,1,1]>(x, w1)
    b = Relu(a)
    p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(b)
    c = Conv<pads=[1,1,1,1]>(p, w2)
    d = Relu(c)
    u = ConvTranspose<strides=[2,2]>(d, w3)
    outer = Shape<start=2>(b)
    inner = Shape<end=2>(u)
    sizes = Concat<axis=0>(inner, outer)
    r = Resize<mode="nearest">(u, , , sizes)
    k = Concat<axis=1>(r, b)
    y = Conv<pads=[1,1,1,1]>(k, w4)
}"""

HEADS = """
    g (float[N,3,16,16] x, float[8,3,3,3] w1, float[8,4] w2, float[8,1] w3, float[4,8,1,1] w4)
      => (float[N,4] kind, float[N,1] score, float[N,4,16,16] map) {
    a = Conv<pads=[1,1,1,1]>(x, w1)
    b = Relu(a)
    p = GlobalAveragePool(b)
    f = Flatten(p)
    kind = Gemm(f, w2)
    s = Gemm(f, w3)
    score = Sigmoid(s)
    map = Conv(b, w4)
}"""


def _model(text: str, weights: dict[str, np.ndarray] | None = None) -> bytes:
    """A graph whose inputs ``w…`` are weights: those given, or drawn by chance."""
    graph = parser.parse_graph(text)
    rng = np.random.default_rng(1)
    for value in list(graph.input):
        if value.name.startswith("w"):
            shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            drawn = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
            drawn = (weights or {}).get(value.name, drawn)
            graph.initializer.append(numpy_helper.from_array(drawn, value.name))
            graph.input.remove(value)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(model.SerializeToString())


def _signal_db(model: bytes, int8: bytes, x: np.ndarray = _X) -> dict[str, float]:
    return output_noise(open_session(model), open_session(int8), {"x": x})


_MANY_SAMPLES = """
import resource, sys
import numpy as np
from mtl_edge.quantize.calibrate import calibrate
from mtl_edge.quantize.static import prepare

prepared = prepare(open(sys.argv[1], "rb").read())
x = np.random.default_rng(0).standard_normal((4, 3, 64, 64)).astype(np.float32)
peaks = []
for batches in (4, 60):
    calibrate(prepared, ({"x": x} for _ in range(batches)))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
print(peaks[1] - peaks[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is read from resource")
def test_calibration_takes_no_more_memory_for_more_samples(tmp_path: Path) -> None:
    """All activations of all samples were kept: 123 GB for 32 samples (onnxruntime issue 10503).

    Here those of 56 more batches would be 56 times 3 MB.
    """
    (tmp_path / "model.onnx").write_bytes(_model(UNET))
    command = [sys.executable, "-c", _MANY_SAMPLES, str(tmp_path / "model.onnx")]
    grown_mb = int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)
    assert grown_mb < 40


def test_a_residual_addition_is_fused() -> None:
    """Q/DQ pairs around an Add stayed pairs around a float Add (onnxruntime issue 12487)."""
    text = """
        g (float[N,3,16,16] x, float[3,3,3,3] w1, float[3,3,3,3] w2) => (float[N,3,16,16] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1)
        r = Relu(a)
        b = Conv<pads=[1,1,1,1]>(r, w2)
        c = Add(b, x)
        y = Relu(c)
    }"""
    found = audit(quantize_static(_model(text), [{"x": _X}]))
    assert found.count("int8")["QLinearAdd"] == 1
    assert not found.count("float")


def test_no_head_collapses() -> None:
    """Scores came out as zero, for the range of a large output hid a small one (onnxruntime issue 14233)."""
    weights = {"w3": np.full((8, 1), 0.01, np.float32), "w4": 100 * _RNG.standard_normal((4, 8, 1, 1))}
    model = _model(HEADS, {name: value.astype(np.float32) for name, value in weights.items()})
    int8 = quantize_static(model, [{"x": _X}])
    (scores,) = open_session(int8).run(["score"], {"x": _X})
    assert (scores > 0.45).all()
    assert len(np.unique(scores)) > 1
    assert min(level for name, level in _signal_db(model, int8).items() if name != "score") > 20


def test_every_output_answers_alone_and_together() -> None:
    """Outputs were None after quantization, or could not be asked for alone (onnxruntime issues 14501, 15093)."""
    session = open_session(quantize_static(_model(HEADS), [{"x": _X}]))
    names = [item.name for item in session.get_outputs()]
    assert names == ["kind", "score", "map"]
    together = session.run(None, {"x": _X[:2]})
    for name, expected in zip(names, together, strict=True):
        np.testing.assert_array_equal(session.run([name], {"x": _X[:2]})[0], expected)
        assert expected.dtype == np.float32


@pytest.mark.parametrize("target", ["x86-vnni", "x86-avx2"])
def test_activations_are_unsigned_on_x86(target: str) -> None:
    """Signed activations cost all accuracy there: 0.0003 of top-1 (onnxruntime issue 12072)."""
    int8 = quantize_static(_model(HEADS), [{"x": _X}], target=target)  # type: ignore[arg-type]
    graph = onnx.load_from_string(int8).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    pairs = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert pairs
    assert {types[node.input[2]] for node in pairs} == {TensorProto.UINT8}


@pytest.mark.parametrize("group", [1, 4])
def test_channels_of_a_transposed_convolution_keep_their_precision(group: int) -> None:
    """Scales lay along the wrong axis, which fails or ruins small channels (onnxruntime issue 19694)."""
    weight = _RNG.standard_normal((8, 8 // group, 2, 2)).astype(np.float32)
    weight *= np.logspace(0, -3, 8 // group, dtype=np.float32)[:, None, None]
    text = f"""
        g (float[N,3,16,16] x, float[8,3,1,1] w1, float[8,{8 // group},2,2] w2) => (float[N,8,32,32] y) {{
        a = Conv(x, w1)
        y = ConvTranspose<strides=[2,2], group={group}>(a, w2)
    }}"""
    model = _model(text, {"w2": weight})
    expected = open_session(model).run(None, {"x": _X})[0]
    found = open_session(quantize_static(model, [{"x": _X}])).run(None, {"x": _X})[0]
    noise = ((found - expected) ** 2).mean((0, 2, 3)) / expected.var((0, 2, 3))
    assert noise.max() < 0.01


def test_layers_with_a_scale_per_channel_run(tmp_path: Path) -> None:
    """A file with scales per channel was written, and failed when it ran (onnxruntime issue 25489).

    With weights of every shape that has channels: of one row, of one column, of groups, of three axes.
    """
    text = """
        g (float[N,3,16,16] x, float[6,1,3,3] w1, float[1,6,1,1] w2, float[256,8] w3, float[1,8] w4,
           float[2,8,4] w5) => (float[N,1,16,16] a, float[2,N,4] y, float[N,1] z) {
        d = Conv<group=3, pads=[1,1,1,1]>(x, w1)
        r = Relu(d)
        a = Conv(r, w2)
        f = Flatten(a)
        m = MatMul(f, w3)
        z = Gemm<transB=1>(m, w4)
        y = MatMul(m, w5)
    }"""
    model = _model(text)
    int8 = quantize_static(model, [{"x": _X}])
    assert min(_signal_db(model, int8).values()) > 20
    tensors = onnx.load_from_string(int8).graph.initializer
    vectors = {tensor.dims[0] for tensor in tensors if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 1}
    assert {6, 8} <= vectors


@pytest.mark.parametrize("text", [HEADS, UNET])
def test_the_optimizer_does_not_change_what_int8_answers(text: str) -> None:
    """Five points of accuracy were lost by optimizations alone (onnxruntime issue 11576)."""
    model = _model(text)
    int8 = quantize_static(model, [{"x": _X}], target="x86-avx2")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = onnxruntime.InferenceSession(int8, options, providers=["CPUExecutionProvider"])
    between = output_noise(plain, open_session(int8), {"x": _X})
    to_float = _signal_db(model, int8)
    assert all(level > to_float[name] for name, level in between.items())


def test_a_u_net_of_open_size_needs_no_symbolic_shapes() -> None:
    """Preparing it ended with "Incomplete symbolic shape inference"."""
    model = _model(UNET)
    int8 = quantize_static(model, [{"x": _X}])
    assert min(_signal_db(model, int8).values()) > 20
    assert min(_signal_db(model, int8, _X[:3, :, :8, :10]).values()) > 20


def test_two_models_of_one_shape_share_no_calibration(tmp_path: Path) -> None:
    """Names and shapes were the key of a cache: a model got the ranges of another (Olive issue 1936)."""
    np.savez(tmp_path / "calib.npz", x=_X)
    alone = {}
    for name, factor in (("one", 1.0), ("other", 50.0)):
        weight = (factor * np.ones((8, 3, 3, 3))).astype(np.float32)
        (tmp_path / f"{name}.onnx").write_bytes(_model(HEADS, {"w1": weight}))
        quantize_file(tmp_path / f"{name}.onnx", tmp_path / "calib.npz", tmp_path / "int8.onnx", placement="all")
        alone[name] = (tmp_path / "int8.onnx").read_bytes()
    for name, expected in alone.items():
        found = quantize_file(
            tmp_path / f"{name}.onnx",
            tmp_path / "calib.npz",
            tmp_path / "int8.onnx",
            placement="all",
            cache=tmp_path / "cache",
        )
        assert found.calibrated
        assert (tmp_path / "int8.onnx").read_bytes() == expected
    assert len(list((tmp_path / "cache" / "calibration").iterdir())) == 2


def test_what_misses_its_budget_is_written_all_the_same(
    unequal_artifact: Path, unequal_samples: Path, tmp_path: Path
) -> None:
    """A goal was missed after hours of search, and nothing was saved (neural-compressor issue 2261)."""
    found = quantize_file(
        unequal_artifact,
        unequal_samples,
        tmp_path / "int8.onnx",
        placement="all",
        max_drop=["left=0.0000001%"],
        labelled=unequal_samples,
    )
    assert found.budgets is not None
    assert (tmp_path / "int8.onnx").stat().st_size == found.file_bytes
