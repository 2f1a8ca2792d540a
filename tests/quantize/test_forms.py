"""Tests of :mod:`mtl_edge.quantize.forms` and :mod:`mtl_edge.quantize.convert`, and of the command that calls them."""

import logging
import sys
import zlib
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.artifact import Manifest, write_artifact
from mtl_edge.cli import main
from mtl_edge.compress.pattern import Blocks, Pattern
from mtl_edge.errors import DataError, MissingExtraError, ModelError
from mtl_edge.quantize import convert as module
from mtl_edge.quantize.convert import Converted, convert_file
from mtl_edge.quantize.forms import (
    FormName,
    dynamic,
    in_form,
    weights_in_4_bits,
    weights_in_fp16,
    weights_with_zeros,
)
from mtl_edge.quantize.prepare import prepare
from mtl_edge.quantize.target import find_target, this_target
from mtl_edge.runtime import manifest_of, open_session

FORMS: tuple[FormName, ...] = ("dynamic", "weights", "weights4", "fp16", "sparse")
TARGET = find_target("x86-avx2")


def _serialized(
    nodes: list[onnx.NodeProto],
    tensors: dict[str, np.ndarray],
    inputs: dict[str, tuple[int, list[int | str]]],
    opset: int = 17,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, *found) for name, found in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())


def _normal(*shape: int) -> np.ndarray:
    """Weights that keep the size of what they multiply."""
    return (np.random.default_rng(shape[0]).standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


@pytest.fixture
def network() -> bytes:
    """Words ``(n, 7)`` -> an embedding, the mean over words, a layer, a product."""
    nodes = [
        helper.make_node("Gather", ["table", "words"], ["each"], name="embed"),
        helper.make_node("ReduceMean", ["each"], ["mean"], name="mean", axes=[1], keepdims=0),
        helper.make_node("Gemm", ["mean", "w0", "b0"], ["a"], name="hidden", transB=1),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("MatMul", ["b", "w1"], ["y"], name="head"),
    ]
    tensors = {"table": _normal(500, 64), "w0": _normal(96, 64), "b0": _normal(96), "w1": _normal(96, 32)}
    return _serialized(nodes, tensors, {"words": (TensorProto.INT64, ["n", 7])})


@pytest.fixture
def words() -> dict[str, np.ndarray]:
    """Sentences for the network."""
    return {"words": np.random.default_rng(0).integers(0, 500, (64, 7))}


def _distance_db(model: bytes, other: bytes, feeds: dict[str, np.ndarray]) -> float:
    (expected,), (found,) = (open_session(each).run(None, feeds) for each in (model, other))
    return float(10 * np.log10(expected.var() / np.mean((found - expected) ** 2)))


# --- forms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "largest", "least_db"),
    [("dynamic", 0.32, 25), ("weights", 0.32, 35), ("weights4", 0.2, 14), ("fp16", 0.52, 60)],
)
def test_each_form_runs_and_is_close_and_small(
    network: bytes, words: dict[str, np.ndarray], form: FormName, largest: float, least_db: float
) -> None:
    """In all ways in which it can be written."""
    for way in in_form(network, form, TARGET):
        assert len(way) < largest * len(network)
        assert _distance_db(network, way, words) > least_db


@pytest.mark.parametrize("pattern", [Blocks(2, 4), 0.5], ids=str)
def test_the_least_weights_are_zero(network: bytes, words: dict[str, np.ndarray], pattern: Pattern) -> None:
    """Of layers, however a product lays them out; what stays is as it was, and an embedding stays whole."""
    before, after = (
        {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(model).graph.initializer}
        for model in (prepare(network), weights_with_zeros(network, pattern))
    )
    layers = [name for name, value in before.items() if value.ndim == 2 and name != "table"]
    zeros = {name: after[name] == 0 for name in layers}
    assert sum(map(np.sum, zeros.values())) == sum(before[name].size for name in layers) // 2
    assert all((after[name][~zeros[name]] == before[name][~zeros[name]]).all() for name in layers)
    assert (after["table"] == before["table"]).all()
    if pattern == Blocks(2, 4):
        by_inputs = [zeros["w0"], zeros["w1"].T]  # the Gemm's are the other way round
        assert all((each.reshape(len(each), -1, 4).sum(-1) == 2).all() for each in by_inputs)
    assert _distance_db(network, weights_with_zeros(network, pattern), words) > 5


def test_an_lstm_becomes_dynamic() -> None:
    """In both directions, with a scale for each row of each."""
    tensors = {"w": _normal(2, 64, 12), "r": _normal(2, 64, 16)}
    nodes = [helper.make_node("LSTM", ["x", "w", "r"], ["", "y"], name="l", hidden_size=16, direction="bidirectional")]
    model = _serialized(nodes, tensors, {"x": (TensorProto.FLOAT, [5, 3, 12])})
    found = dynamic(model, find_target(this_target()))
    assert [node.op_type for node in onnx.load_from_string(found).graph.node] == ["DynamicQuantizeLSTM"]
    assert len(found) < 0.4 * len(model)
    x = np.random.default_rng(0).standard_normal((5, 3, 12)).astype(np.float32)
    assert _distance_db(model, found, {"x": x}) > 30


@pytest.mark.parametrize(("target", "most"), [("x86-vnni", 127), ("x86-avx2", 64)])
def test_dynamic_weights_have_a_bit_less_where_sums_saturate(network: bytes, target: str, most: int) -> None:
    """As a product of uint8 and int8 is added to another one in 16 bits there."""
    graph = onnx.load_from_string(dynamic(network, find_target(target))).graph  # type: ignore[arg-type]
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulInteger"]
    weights = [numpy_helper.to_array(tensors[node.input[1]]).astype(int) for node in products]
    assert [np.abs(weight).max() for weight in weights] == [most, most]


def test_4_bits_are_for_what_is_large_and_used_once(network: bytes) -> None:
    """What else layers have is stored in 8 bits."""
    nodes = [
        helper.make_node("MatMul", ["x", "large"], ["a"], name="large"),
        helper.make_node("MatMul", ["a", "twice"], ["b"], name="first"),
        helper.make_node("MatMul", ["b", "twice"], ["c"], name="second"),
        helper.make_node("MatMul", ["c", "small"], ["y"], name="small"),
    ]
    tensors = {"large": _normal(50, 64), "twice": _normal(64, 64), "small": _normal(64, 16)}
    model = _serialized(nodes, tensors, {"x": (TensorProto.FLOAT, ["n", 50])})
    found = weights_in_4_bits(model)
    kinds = [node.op_type for node in onnx.load_from_string(found).graph.node]
    assert (kinds.count("MatMulNBits"), kinds.count("MatMul"), kinds.count("Cast")) == (1, 3, 2)
    x = np.random.default_rng(0).standard_normal((8, 50)).astype(np.float32)
    assert _distance_db(model, found, {"x": x}) > 14
    opsets = {entry.domain: entry.version for entry in onnx.load_from_string(found).opset_import}
    assert opsets[""] == 17, "no tensor of 4 bits is in it: only bytes"
    kinds = [node.op_type for node in onnx.load_from_string(weights_in_4_bits(network)).graph.node]
    assert "GatherBlockQuantized" in kinds


def test_a_model_of_an_older_opset_is_rewritten_for_4_bits(words: dict[str, np.ndarray]) -> None:
    """Not only its number is: of Squeeze, axes are an input since opset 13."""
    nodes = [
        helper.make_node("Gather", ["table", "words"], ["each"], name="embed"),
        helper.make_node("ReduceMean", ["each"], ["mean"], name="mean", axes=[1], keepdims=1),
        helper.make_node("Squeeze", ["mean"], ["y"], name="squeeze", axes=[1]),
    ]
    model = _serialized(nodes, {"table": _normal(500, 64)}, {"words": (TensorProto.INT64, ["n", 7])}, opset=11)
    assert _distance_db(model, weights_in_4_bits(model), words) > 14


def test_what_fp16_cannot_hold_stays_in_float() -> None:
    """A constant of a million would become infinite."""
    tensors = {"large": np.full(64, 1e6, np.float32), "w": _normal(64, 32)}
    nodes = [helper.make_node("Div", ["x", "large"], ["a"]), helper.make_node("MatMul", ["a", "w"], ["y"])]
    model = _serialized(nodes, tensors, {"x": (TensorProto.FLOAT, ["n", 64])})
    kinds = {tensor.data_type for tensor in onnx.load_from_string(weights_in_fp16(model)).graph.initializer}
    assert kinds == {TensorProto.FLOAT, TensorProto.FLOAT16}


@pytest.mark.parametrize("form", FORMS[:-1])  # what is sparse is fp32 as before
def test_what_has_another_form_already_is_refused(network: bytes, form: FormName) -> None:
    """By static quantization, too."""
    for way in in_form(network, form, TARGET):
        with pytest.raises(ModelError, match=r"must be fp32, found .* it is quantized already"):
            in_form(way, form, TARGET)
        with pytest.raises(ModelError, match="it is quantized already"):
            prepare(way)


@pytest.mark.parametrize("form", FORMS)
def test_weights_that_are_not_finite_are_refused(form: FormName) -> None:
    """Rounded, they would be any number."""
    weight = _normal(64, 64)
    weight[3, 5] = np.nan
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    model = _serialized(nodes, {"w": weight}, {"x": (TensorProto.FLOAT, ["n", 64])})
    with pytest.raises(ModelError, match="weights must be finite, found NaN or inf in 'w'"):
        in_form(model, form, TARGET)


@pytest.mark.parametrize("form", FORMS)
def test_a_model_without_weights_is_told_so(form: FormName) -> None:
    """And which it would have to have."""
    model = _serialized([helper.make_node("Relu", ["x"], ["y"])], {}, {"x": (TensorProto.FLOAT, ["n", 4])})
    with pytest.raises(ModelError, match=f"for the form {form} the model must have .*: nothing to quantize"):
        in_form(model, form, TARGET)


def test_4_bits_leave_logging_as_it_is(network: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the module that makes them sets it up for the whole process, when it is imported."""
    monkeypatch.delitem(sys.modules, "onnxruntime.quantization.matmul_nbits_quantizer", raising=False)
    before = logging.root.level, list(logging.root.handlers)
    weights_in_4_bits(network)
    assert (logging.root.level, logging.root.handlers) == before


def test_without_the_quantizer_for_4_bits_it_is_named(network: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older versions of ONNX Runtime have none."""
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization.matmul_nbits_quantizer", None)
    with pytest.raises(MissingExtraError, match="weights4 needs onnxruntime>="):
        weights_in_4_bits(network)


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path, network: bytes) -> Path:
    """The network as somebody else would have made it."""
    path = tmp_path / "words.onnx"
    path.write_bytes(network)
    return path


def test_a_file_is_measured_without_samples(model: Path, tmp_path: Path) -> None:
    """Only latency is: of noise, random inputs say nothing."""
    found = convert_file(model, tmp_path / "small.onnx", "weights")
    assert (found.samples, found.noise_db, found.target) == (0, {}, None)
    assert found.latency_ratio > 0
    assert found.file_bytes == (tmp_path / "small.onnx").stat().st_size < found.source_bytes / 3


def test_an_input_may_be_a_single_value(tmp_path: Path) -> None:
    """It is no batch to take a sample of."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Mul", ["a", "factor"], ["y"])]
    inputs: dict[str, tuple[int, list[int | str]]] = {
        "x": (TensorProto.FLOAT, ["n", 64]),
        "factor": (TensorProto.FLOAT, []),
    }
    path = tmp_path / "model.onnx"
    path.write_bytes(_serialized(nodes, {"w": _normal(64, 64)}, inputs))
    assert convert_file(path, tmp_path / "small.onnx", "fp16").latency_ratio > 0


def test_a_file_is_measured_on_samples(model: Path, tmp_path: Path, words: dict[str, np.ndarray]) -> None:
    """On one batch of them."""
    np.savez(tmp_path / "calib.npz", **words)
    found = convert_file(model, tmp_path / "d.onnx", "dynamic", measured_on=tmp_path / "calib.npz", batch_size=16)
    assert (found.samples, found.target is None) == (16, False)
    assert found.noise_db["y"] > 25
    assert found.audit.count("int8")


@pytest.mark.parametrize(("ratio", "taken"), [(0.8, 1), (0.95, 0)])
def test_a_less_exact_way_to_write_a_form_is_taken_where_it_is_clearly_faster(
    model: Path, network: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ratio: float, taken: int
) -> None:
    """What differs by little may be noise."""
    ways = in_form(network, "weights4", TARGET)
    monkeypatch.setattr(module, "latency_ratio", lambda base, way, batch: ratio if base == ways[0] else 1.2)
    assert convert_file(model, tmp_path / "small.onnx", "weights4").latency_ratio == 1.2
    assert (tmp_path / "small.onnx").read_bytes() == ways[taken]


def test_a_sparse_file_is_measured_compressed(model: Path, tmp_path: Path) -> None:
    """Beside the sizes of the files, which zeros alone do not change; what is quantized of it keeps them."""
    sparse, told = tmp_path / "sparse.onnx", tmp_path / "found.json"
    options = ["--form", "sparse", "--pattern", "0.75", "-o", str(sparse), "--json", str(told)]
    done = CliRunner().invoke(main, ["quantize", str(model), *options])
    assert done.exit_code == 0, done.output
    assert "0.75, size only" in done.output
    zeros = msgspec.json.decode(told.read_bytes(), type=Converted).sparse
    assert zeros is not None
    assert zeros.file_bytes == len(zlib.compress(sparse.read_bytes())) < 0.9 * zeros.source_bytes
    small = onnx.load_from_string(in_form(sparse.read_bytes(), "weights", TARGET)[0])
    numbers = [numpy_helper.to_array(tensor) for tensor in small.graph.initializer]
    assert sum(int((value == 0).sum()) for value in numbers if value.dtype == np.int8) > 0.75 * (96 * 64 + 96 * 32)


@pytest.mark.parametrize("options", [["--form", "fp16", "--pattern", "2:4"], ["--form", "sparse", "--pattern", "4:2"]])
def test_a_pattern_that_means_nothing_is_refused(model: Path, options: list[str]) -> None:
    """Of another form, or with more weights that stay than there are."""
    done = CliRunner().invoke(main, ["quantize", str(model), *options])
    assert done.exit_code == 2
    assert ("does not know --pattern" if "fp16" in options else "must be N:M such as 2:4") in done.output + str(done)


def test_the_child_of_an_artifact_names_the_form(tmp_path: Path, tiny_manifest: Manifest) -> None:
    """Its parent, and the opset that it has now."""
    nodes = [
        helper.make_node("MatMul", ["image", "w0"], ["a"], name="m0"),
        helper.make_node("MatMul", ["a", "w1"], ["kind"], name="m1"),
        helper.make_node("MatMul", ["a", "w2"], ["size"], name="m2"),
    ]
    values = {"image": ["batch", 2], "kind": ["batch", 3], "size": ["batch", 1]}
    inputs, *outputs = (helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in values.items())
    weights = {"w0": _normal(2, 128), "w1": _normal(128, 3), "w2": _normal(128, 1)}
    graph = helper.make_graph(
        nodes, "g", [inputs], outputs, [numpy_helper.from_array(value, name) for name, value in weights.items()]
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    parent = write_artifact(tmp_path / "parent", content, tiny_manifest)
    convert_file(parent.path, tmp_path / "sparse.onnx", "sparse")
    sparse = manifest_of(tmp_path / "sparse.onnx", open_session(tmp_path / "sparse.onnx"))
    assert sparse is not None
    assert (sparse.variant, sparse.sparse, sparse.lineage.steps[-1]) == ("dense-sparse", "2:4", "sparsify 2:4")
    convert_file(parent.path, tmp_path / "child.onnx", "fp16")
    child = manifest_of(tmp_path / "child.onnx", open_session(tmp_path / "child.onnx"))
    assert child is not None
    assert (child.variant, child.metrics, child.target, child.opset) == ("dense-fp16", None, None, 20)
    assert (child.lineage.parent_sha256, child.lineage.steps[-1]) == (parent.manifest.sha256, "fp16 weights")


def test_a_model_that_cannot_compute_random_inputs_asks_for_samples(tmp_path: Path) -> None:
    """Here they are one value, as nobody knows the length, which cannot be reshaped to rows of eight."""
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["y"]),
    ]
    tensors = {"shape": np.array([-1, 8]), "w": _normal(8, 64)}
    path = tmp_path / "model.onnx"
    path.write_bytes(_serialized(nodes, tensors, {"x": (TensorProto.FLOAT, ["n", "length"])}))
    with pytest.raises(DataError, match=r"cannot compute random inputs: .*; give samples with --calib"):
        convert_file(path, tmp_path / "small.onnx", "fp16")


# --- the command ----------------------------------------------------------------------------------------------------


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("form", FORMS)
def test_the_command_says_what_a_form_gives(
    model: Path, words: dict[str, np.ndarray], tmp_path: Path, form: FormName
) -> None:
    """And writes beside the model."""
    np.savez(tmp_path / "calib.npz", **words)
    json = tmp_path / "found.json"
    result = _run("quantize", model, "--form", form, "--calib", tmp_path / "calib.npz", "--json", json)
    assert result.exit_code == 0, result.output
    assert (tmp_path / f"words-{form}.onnx").is_file()
    assert all(word in result.stdout for word in ("x of fp32 with 1 thread", " dB, on 32 samples"))
    assert msgspec.json.decode(json.read_bytes())["form"] == form


def test_a_form_that_is_slower_is_said_not_to_help(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is a result, and the exit code is 0."""
    monkeypatch.setattr(module, "latency_ratio", lambda *_: 1.5)
    result = _run("quantize", model, "--form", "dynamic")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "dynamic does not help on this CPU: slower than fp32, 1.50x" in result.stdout
    assert "unknown without samples" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--form static must have samples to calibrate with (--calib), found none"),
        (["--form", "weights", "--max-drop", "y=1%"], "--form weights does not know --max-drop"),
        (["--form", "fp16", "--target", "arm64"], "--form fp16 does not know --target"),
        (["--form", "dynamic", "--no-correct-bias"], "--form dynamic does not know --correct-bias"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(model: Path, options: list[str], message: str) -> None:
    """And no file is left."""
    result = _run("quantize", model, *options)
    assert (result.exit_code, result.stderr) == (2, f"mtl-edge: error: quantize: {message}\n")
    assert [path.name for path in model.parent.iterdir()] == ["words.onnx"]
