"""Tests of :mod:`mtl_edge.quantize.file`, and of the command that calls it."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, parser

from mtl_edge.artifact import Manifest, write_artifact
from mtl_edge.cli import main
from mtl_edge.quantize import source as module
from mtl_edge.quantize.file import quantize_file
from mtl_edge.quantize.refinements import Refinements
from mtl_edge.runtime import manifest_of, open_session

Save = Callable[..., Path]


@pytest.fixture
def model(tmp_path: Path, tiny_model: bytes) -> Path:
    """The tiny model as somebody else would have made it."""
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_model)
    return path


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write calibration data."""

    def write(**arrays: np.ndarray) -> Path:
        path = tmp_path / "calib.npz"
        np.savez(path, **arrays)
        return path

    return write


@pytest.fixture
def image() -> np.ndarray:
    """Inputs of the tiny model."""
    return np.random.default_rng(0).standard_normal((64, 2)).astype(np.float32)


def test_a_model_that_int8_makes_slower_stays_in_float(
    model: Path, save: Save, image: np.ndarray, tmp_path: Path
) -> None:
    """Two products of six numbers are over before a conversion is; so nothing is converted."""
    found = quantize_file(model, save(image=image), tmp_path / "int8.onnx")
    assert not {"QuantizeLinear", "DequantizeLinear"} & {
        node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node
    }
    assert found.latency_ratio == 1.0
    assert found.trials >= 2


def test_any_model_becomes_an_int8_file(model: Path, save: Save, image: np.ndarray, tmp_path: Path) -> None:
    """What is written runs, answers nearly the same, and what is said of it is so."""
    found = quantize_file(model, save(image=image), tmp_path / "int8.onnx", samples=32, placement="all")
    expected = onnxruntime.InferenceSession(model).run(None, {"image": image})
    answers = onnxruntime.InferenceSession(tmp_path / "int8.onnx").run(None, {"image": image})
    for mine, theirs in zip(answers, expected, strict=True):
        assert np.abs(mine - theirs).mean() < 0.05 * theirs.std()
    assert (found.samples, found.calibrated, found.remarks) == (32, True, ())
    assert found.file_bytes == (tmp_path / "int8.onnx").stat().st_size
    assert all(level > 20 for level in found.noise_db.values())
    assert {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node} >= {"QuantizeLinear"}
    assert not manifest_of(tmp_path / "int8.onnx", open_session(tmp_path / "int8.onnx"))


def test_the_child_of_an_artifact_names_its_parent(
    tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest, save: Save
) -> None:
    """Raw samples are preprocessed as the manifest says; nobody has measured the child yet."""
    parent = write_artifact(tmp_path / "parent", tiny_model, tiny_manifest)
    raw = np.random.default_rng(0).integers(0, 9, (30, 2), dtype=np.uint8)
    data = save(image=raw, label=np.arange(30) % 2, area=np.arange(30.0))
    found = quantize_file(parent.path, data, tmp_path / "int8.onnx")
    child = manifest_of(tmp_path / "int8.onnx", open_session(tmp_path / "int8.onnx"))
    assert child is not None
    assert (child.variant, child.metrics, child.target) == ("dense-int8", None, found.target)
    assert (child.lineage.parent, child.lineage.parent_sha256) == ("dense", parent.manifest.sha256)
    assert child.lineage.steps[-1] == "static int8"
    assert found.remarks == ("no sample of class 2 of kind",)


def test_another_method_needs_no_second_pass(
    model: Path, save: Save, image: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the samples or the model are others, or what was kept is damaged."""
    passes = []
    honest = module.calibrate
    monkeypatch.setattr(module, "calibrate", lambda *args: passes.append(1) or honest(*args))
    cache = tmp_path / "cache"

    def calibrated(data: Path, **options: object) -> bool:
        return quantize_file(model, data, tmp_path / "int8.onnx", cache=cache, **options).calibrated  # type: ignore[arg-type]

    data = save(image=image)
    assert calibrated(data)
    first = (tmp_path / "int8.onnx").read_bytes()
    assert not calibrated(data)
    assert (tmp_path / "int8.onnx").read_bytes() == first
    assert not calibrated(data, method="minmax")
    assert calibrated(data, samples=10)
    for kept in (cache / "calibration").iterdir():
        kept.write_bytes(kept.read_bytes()[:-9])
    assert calibrated(data)
    assert calibrated(save(image=image + 1))
    assert len(passes) == 4


def test_an_equalized_model_has_a_calibration_of_its_own(save: Save, image: np.ndarray, tmp_path: Path) -> None:
    """It is another model, with other ranges; what else is refined leaves the calibration as it is."""
    weights = {"w0": np.float32([[1, 9], [4, -1], [2, 2]]), "w1": np.float32([[3, 1, 2]])}
    nodes = [
        helper.make_node("Gemm", ["image", "w0"], ["a"], transB=1),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "w1"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [onnx.numpy_helper.from_array(np.array(value), name) for name, value in weights.items()],
    )
    model = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), model)

    def calibrated(**steps: object) -> bool:
        found = quantize_file(
            model,
            save(image=image),
            tmp_path / "int8.onnx",
            placement="all",
            cache=tmp_path / "cache",
            refinements=Refinements(**steps),  # type: ignore[arg-type]
        )
        assert found.refinements == Refinements(**steps)  # type: ignore[arg-type]
        return found.calibrated

    assert calibrated()
    assert calibrated(equalize=True)
    assert not calibrated(equalize=True)
    assert not calibrated(rounding="nearest", correct_bias=False)


@pytest.mark.parametrize(
    ("target", "activation", "most"),
    [
        ("x86-vnni", TensorProto.UINT8, 127),
        ("x86-avx2", TensorProto.UINT8, 127),
        ("arm64", TensorProto.INT8, 127),
    ],
)
def test_a_target_decides_the_types(
    model: Path, save: Save, image: np.ndarray, tmp_path: Path, target: str, activation: int, most: int
) -> None:
    """Of activations, and how many bits of a weight are used."""
    quantize_file(model, save(image=image), tmp_path / "int8.onnx", target=target, placement="all")  # type: ignore[arg-type]
    graph = onnx.load(tmp_path / "int8.onnx").graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    (quantize,) = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "image"]
    assert tensors[quantize.input[2]].data_type == activation
    weights = [onnx.numpy_helper.to_array(tensors[name]) for name in tensors if len(tensors[name].dims) > 1]
    assert max(np.abs(weight.astype(int)).max() for weight in weights) == most


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command_says_what_became_of_the_model(model: Path, save: Save, image: np.ndarray, tmp_path: Path) -> None:
    """And writes beside the model, unless told otherwise."""
    found = tmp_path / "found.json"
    result = _run("quantize", model, "--calib", save(image=image), "--no-cache", "--json", found)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "tiny-int8.onnx").is_file()
    assert all(word in result.stdout for word in ("mse over 64 samples", "in int8", "signal to noise"))
    assert msgspec.json.decode(found.read_bytes())["audit"]["nodes"]


def test_the_command_switches_every_refinement_on_its_own(
    model: Path, save: Save, image: np.ndarray, tmp_path: Path
) -> None:
    """And says which were done."""
    found = tmp_path / "found.json"
    options = ["--equalize", "--rounding", "nearest", "--no-correct-bias", "--method", "auto"]
    result = _run("quantize", model, "--calib", save(image=image), "--no-cache", "--json", found, *options)
    assert result.exit_code == 0, result.output
    assert "channels equalized" in result.stdout
    assert "biases corrected" not in result.stdout
    done = msgspec.json.decode(found.read_bytes())["refinements"]
    assert done == {"equalize": True, "rounding": "nearest", "correct_bias": False}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"picture": np.zeros((4, 2), np.float32)}, "no array 'image', found picture"),
        ({"image": np.eye(4, 3, dtype=np.float32)}, "'image' must have the shape ['batch', 2], found (4, 3)"),
        ({"image": np.eye(4, 2)}, "'image' must be float32, found float64"),
        ({"image": np.zeros((4, 2), np.float32)}, "'image' must vary, found 0.0 everywhere"),
        ({"image": np.array([[np.inf, 1]], np.float32)}, "tensor 'image' in batch 0"),
        ({"image": np.array([[np.nan, 1], [2, 3]], np.float32)}, "tensor 'image' in batch 0: values must be finite"),
        ({"image": np.zeros((0, 2), np.float32)}, "at least one"),
        ({"image": np.array(["a", "b"])}, "'image' must be float32, found <U1"),
    ],
)
def test_calibration_data_that_does_not_fit_is_one_line(
    model: Path, save: Save, tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    """The exit code is 2, and no file is left."""
    result = _run("quantize", model, "--calib", save(**arrays), "--no-cache")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "tiny-int8.onnx").exists()


def test_fewer_samples_than_classes_are_refused(
    tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest, save: Save
) -> None:
    """They cannot show every class."""
    parent = write_artifact(tmp_path / "parent", tiny_model, tiny_manifest)
    data = save(image=np.eye(2, dtype=np.uint8), label=np.array([0, 1]))
    result = _run("quantize", parent.path, "--calib", data, "--no-cache")
    assert "must have a sample for each of 3 classes of 'kind', found 2" in result.stderr


def test_what_is_quantized_already_or_no_model_is_refused(
    model: Path, save: Save, image: np.ndarray, tmp_path: Path
) -> None:
    """In one line."""
    data = save(image=image)
    assert _run("quantize", model, "--calib", data, "--no-cache", "--placement", "all").exit_code == 0
    again = _run("quantize", tmp_path / "tiny-int8.onnx", "--calib", data, "--no-cache")
    assert "it is quantized already" in again.stderr
    custom = helper.make_model(
        helper.make_graph(
            [helper.make_node("Magic", ["x"], ["y"], domain="my.ops")],
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        ),
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("my.ops", 1)],
        ir_version=9,
    )
    (tmp_path / "custom.onnx").write_bytes(custom.SerializeToString())
    (tmp_path / "text.onnx").write_text("hello")
    for name, reason in (("custom.onnx", "ONNX Runtime cannot load it"), ("text.onnx", "is not an ONNX model")):
        result = _run("quantize", tmp_path / name, "--calib", data, "--no-cache")
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert reason in result.stderr


def _saved(path: Path, text: str, opset: int = 20) -> Path:
    model = helper.make_model(parser.parse_graph(text), opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("graph", "opset", "message"),
    [
        ("g (string[n] x) => (int64[n] y) { y = LabelEncoder(x) }", 20, "ONNX Runtime cannot load it"),
        ("g (string[n] x) => (string[n] y) { y = Identity(x) }", 20, "'x' must be a tensor of numbers with samples"),
        (
            "g (float x) => (float y) { y = Relu(x) }",
            20,
            "must be a tensor of numbers with samples, found a single",
        ),
        (
            "g (seq(float[n]) x) => (float[m] y) { y = ConcatFromSequence<axis=0>(x) }",
            20,
            "must be a tensor of numbers",
        ),
        ("g (float[n,h] x) => (float[n,h] y) { y = Relu(x) }", 20, "'x' must have the shape ['n', 'h'], found (4, 0)"),
        (
            "g (float[n,2] x, float[4] s) => (float[n,2] y) { y = BatchNormalization<spatial=0>(x, s, s, s, s) }",
            7,
            "must be of operator set 13 or later, found 7, which cannot be converted",
        ),
    ],
)
def test_a_graph_that_cannot_be_quantized_is_one_line(
    save: Save, tmp_path: Path, graph: str, opset: int, message: str
) -> None:
    """The exit code is 2, and what was there before is left as it was."""
    output = tmp_path / "int8.onnx"
    output.write_text("earlier")
    x = np.zeros((4, 0), np.float32) if "h]" in graph else np.eye(4, 2, dtype=np.float32)
    data = save(x=x, s=np.arange(4, dtype=np.float32))
    before = sorted(path.name for path in tmp_path.iterdir())
    source = _saved(tmp_path / "model.onnx", graph, opset)
    result = _run("quantize", source, "--calib", data, "-o", output, "--no-cache", "--json", tmp_path / "found.json")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
    assert message in result.stderr
    assert output.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "model.onnx"])


def test_inputs_must_have_as_many_samples_as_one_another(save: Save, tmp_path: Path) -> None:
    """Or one sample's image would meet the vector of another."""
    source = _saved(tmp_path / "model.onnx", "g (float[n,2] x, float[n,2] z) => (float[n,2] y) { y = Add(x, z) }")
    data = save(x=np.eye(4, 2, dtype=np.float32), z=np.eye(3, 2, dtype=np.float32))
    result = _run("quantize", source, "--calib", data, "--no-cache")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output


def test_a_graph_that_demands_one_sample_has_a_spread_of_answers_all_the_same(save: Save, tmp_path: Path) -> None:
    """Signal to noise is that over many answers of one."""
    source = _saved(
        tmp_path / "model.onnx",
        "g (float[1,4] x) => (float[1,1] y) { axes = Constant<value_ints=[1]>() y = ReduceMean(x, axes) }",
    )
    data = save(x=np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32))
    assert quantize_file(source, data, tmp_path / "int8.onnx", placement="all").noise_db["y"] > 25
