"""An export is a whole: model, manifest, other forms and a report; every form was compared."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from mtl_edge.artifact import Manifest, parse_manifest, write_artifact
from mtl_edge.cli import main
from mtl_edge.errors import ModelError, MtlEdgeError, ParityError, WorkdirError
from mtl_edge.export.external import split_weights
from mtl_edge.export.folder import Exported, ExportOptions, export_folder, read_model
from mtl_edge.export.graph_steps import GraphOptions
from mtl_edge.kits.goldens import Goldens
from mtl_edge.runtime import evaluate, manifest_of, open_session
from mtl_edge.storage import sha256_of_file

MODELS = Path(__file__).parents[2] / "models"
DIGITS = MODELS / "mnist-pairs" / "model.onnx"
IN_GRAPH = GraphOptions(preprocess=True, decode=True)


@pytest.fixture
def artifact(tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest) -> Path:
    """The tiny model, two layers over vectors of uint8."""
    return write_artifact(tmp_path / "artifact", tiny_model, tiny_manifest).path


@pytest.fixture
def noisy(tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest) -> Path:
    """The same with one output that is far off."""
    proto = onnx.load_from_string(tiny_model)
    for tensor in proto.graph.initializer:
        if tensor.name == "to_size":
            tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
    return write_artifact(tmp_path / "noisy", proto.SerializeToString(), tiny_manifest).path


def _export(model: Path, folder: Path, **options: object) -> Exported:
    return export_folder(read_model(model), folder, ExportOptions(**options))  # type: ignore[arg-type]


def _manifest(folder: Path) -> Manifest:
    found = manifest_of(folder / "model.onnx", open_session(folder / "model.onnx"))
    assert found is not None
    assert parse_manifest((folder / "manifest.json").read_bytes(), "test") == found
    return found


def test_the_manifest_says_what_the_graph_does(artifact: Path, tmp_path: Path) -> None:
    """Inputs are raw, answers are listed, the parent is named, and metrics that are still true stay."""
    parent = parse_manifest((artifact.parent / "manifest.json").read_bytes(), "test")
    found = _export(artifact, tmp_path / "out", graph=IN_GRAPH)
    manifest = _manifest(tmp_path / "out")
    assert found.steps == ("preprocess", "decode")
    assert found.hops[-1].exact
    assert [(item.name, item.dtype, item.preprocessing.__struct_config__.tag) for item in manifest.inputs] == [
        ("image", "uint8", "raw-pixels")
    ]
    assert [(item.output, item.dtype, item.shape) for item in manifest.answers] == [
        ("kind.label", "int64", ("batch",)),
        ("kind.probabilities", "float32", ("batch", 3)),
        ("size.value", "float32", ("batch",)),
    ]
    assert manifest.metrics == parent.metrics
    assert manifest.lineage.parent_sha256 == parent.sha256
    assert manifest.lineage.steps[-1] == "preprocess, decode"


def test_an_export_of_nothing_is_the_model_itself(artifact: Path, tmp_path: Path) -> None:
    """No step, no child: the manifest names the same variant."""
    found = _export(artifact, tmp_path / "out")
    assert found.steps == ()
    assert _manifest(tmp_path / "out").variant == "dense"
    assert msgspec.json.decode((tmp_path / "out" / "export.json").read_bytes(), type=Exported) == found


def test_a_graph_that_preprocesses_is_measured_with_the_same_samples(artifact: Path, tmp_path: Path) -> None:
    """Metrics are those of the network that reads preprocessed ones."""
    _export(artifact, tmp_path / "out", graph=IN_GRAPH)
    rng = np.random.default_rng(0)
    arrays = {
        "image": rng.integers(0, 256, (30, 2), np.uint8),
        "label": np.arange(30) % 3,
        "area": rng.standard_normal(30).astype(np.float32),
    }
    metrics = []
    for path in (artifact, tmp_path / "out" / "model.onnx"):
        session = open_session(path)
        manifest = manifest_of(path, session)
        assert manifest is not None
        metrics.append(evaluate(session, manifest.tasks, manifest.inputs, arrays))
    assert metrics[0] == metrics[1]


def test_steps_that_were_done_are_not_done_again(artifact: Path, tmp_path: Path) -> None:
    """A graph preprocesses once, and decodes once."""
    _export(artifact, tmp_path / "out", graph=IN_GRAPH)
    for step in ("preprocess", "decode"):
        with pytest.raises(ModelError, match=f"{step}d? .*in the graph already|{step}: .*in the graph already"):
            _export(tmp_path / "out" / "model.onnx", tmp_path / "again", graph=GraphOptions(**{step: True}))
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("opset", [18, 22])
def test_operator_set_and_batch_go_with_the_other_steps(opset: int, tmp_path: Path) -> None:
    """Images of any size, one at a time, in an older set and a newer one."""
    graph = GraphOptions(preprocess=True, decode=True, batch=1, opset=opset)
    found = _export(DIGITS, tmp_path / "out", graph=graph)
    manifest = _manifest(tmp_path / "out")
    assert (found.opset, manifest.opset) == (opset, opset)
    assert manifest.inputs[0].shape == (1, "image.height", "image.width", 1)
    assert {answer.shape[0] for answer in manifest.answers} == {1}
    photo = np.random.default_rng(0).integers(0, 256, (1, 480, 640, 1), np.uint8)
    session = open_session(tmp_path / "out" / "model.onnx")
    assert session.run(["left.label"], {"image": photo})[0].shape == (1,)


def test_forms_for_phones_are_beside_the_model(tmp_path: Path) -> None:
    """Their hashes are in the manifest, what is wrong with them elsewhere in the report."""
    found = _export(DIGITS, tmp_path / "out", ort=("arm", "amd64"), styles=("fixed", "runtime"), mobile=True)
    manifest = _manifest(tmp_path / "out")
    names = {f"model.{form}.ort" for form in ("arm", "arm.runtime", "amd64", "amd64.runtime")}
    assert set(manifest.files) == names | {f"{name}.required_operators.config" for name in names}
    assert all(sha256_of_file(tmp_path / "out" / name) == digest for name, digest in manifest.files.items())
    assert [hop.holds for hop in found.hops] == [True] * 5
    assert any(remark.startswith("model.arm.ort: an int8 .ort for arm") for remark in found.remarks)
    assert len(found.accelerators) == 4
    assert found.warnings == ()


def test_weights_go_into_a_file_of_their_own(tmp_path: Path) -> None:
    """The model loads from there; other weights in that place are refused."""
    _export(DIGITS, tmp_path / "out", external_bytes=10_000)
    model, weights = tmp_path / "out" / "model.onnx", tmp_path / "out" / "model.onnx.data"
    assert model.stat().st_size < DIGITS.stat().st_size - 10_000
    assert _manifest(tmp_path / "out").files == {"model.onnx.data": sha256_of_file(weights)}
    onnx.checker.check_model(str(model))
    image = np.zeros((1, 1, 36, 36), np.float32)
    for before, after in zip(
        open_session(DIGITS).run(None, {"image": image}), open_session(model).run(None, {"image": image}), strict=True
    ):
        np.testing.assert_array_equal(before, after)
    content = bytearray(weights.read_bytes())
    content[4] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx\.data: must be the weights that were exported with model\.onnx"):
        manifest_of(model, open_session(model))


def test_tensors_begin_where_memory_can_be_mapped() -> None:
    """At multiples of a page."""
    split = split_weights(DIGITS.read_bytes(), "w")
    offsets = [
        int(entry.value)
        for tensor in onnx.load_from_string(split.model).graph.initializer
        for entry in tensor.external_data
        if entry.key == "offset"
    ]
    assert len(offsets) > 3
    assert all(offset % 4096 == 0 for offset in offsets)


def test_each_form_is_compared_to_the_one_before(artifact: Path, noisy: Path, tmp_path: Path) -> None:
    """A form that is too far off is a warning with its output and place, and an error where that is wanted."""
    found = _export(artifact, tmp_path / "same", earlier=(artifact,))
    assert [hop.holds for hop in found.hops] == [True, True]
    found = _export(noisy, tmp_path / "off", earlier=(artifact,))
    (warning,) = found.warnings
    assert "-> model: output 'size' at" in warning
    with pytest.raises(ParityError, match="-> model: output 'size' at"):
        _export(noisy, tmp_path / "strict", earlier=(artifact,), strict=True)
    assert not (tmp_path / "strict").exists()


def test_labels_say_what_a_hop_costs_the_tasks(artifact: Path, noisy: Path, tmp_path: Path) -> None:
    """Each task's first metric, against its budget."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 2), np.uint8)
    area = (image @ np.array([2, 3])).astype(np.float32)
    np.savez(tmp_path / "test.npz", image=image, label=np.arange(40) % 3, area=area)
    found = _export(noisy, tmp_path / "off", earlier=(artifact,), data=tmp_path / "test.npz")
    assert {item.task: item.holds for item in found.hops[0].spent} == {"kind": True, "size": False}
    assert "size loses" in found.warnings[0]


def test_models_without_a_manifest_are_changed_as_far_as_that_goes(tiny_model: bytes, tmp_path: Path) -> None:
    """Operator set, batch and forms need none; what a task means does."""
    (tmp_path / "bare.onnx").write_bytes(tiny_model)
    found = _export(tmp_path / "bare.onnx", tmp_path / "out", graph=GraphOptions(opset=13, batch=2), ort=("arm",))
    assert (found.opset, found.ir_version) == (13, 7)
    assert not (tmp_path / "out" / "manifest.json").exists()
    for step in ("preprocess", "decode"):
        with pytest.raises(ModelError, match=f"{step}: the model must carry mtl-edge's manifest"):
            _export(tmp_path / "bare.onnx", tmp_path / "no", graph=GraphOptions(**{step: True}))


def test_other_files_are_left_alone(artifact: Path, tmp_path: Path) -> None:
    """Only an export is replaced, and only when asked."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(WorkdirError, match="must be a new or empty folder"):
        _export(artifact, tmp_path / "mine", overwrite=True)
    _export(artifact, tmp_path / "out")
    with pytest.raises(WorkdirError, match="an export is there already"):
        _export(artifact, tmp_path / "out")
    _export(artifact, tmp_path / "out", overwrite=True)


@pytest.mark.parametrize("name", ["mnist-pairs", "adult", "fashion-scenes"])
def test_a_kit_of_a_graph_that_does_all_by_itself_checks_itself(name: str, tmp_path: Path) -> None:
    """Golden vectors hold what the caller feeds: camera bytes, or numbers and texts."""
    import subprocess
    import sys

    kit = tmp_path / "kit"
    arguments = ["export", str(MODELS / name / "model.onnx"), "--for", "python", "-o", str(kit)]
    done = CliRunner().invoke(main, [*arguments, "--preprocess", "--decode"])
    assert done.exit_code == 0, done.output
    case = msgspec.json.decode((kit / "goldens" / "goldens.json").read_bytes(), type=Goldens).cases[0]
    assert [array.dtype for array in case.raw] == (["float32", "string"] if name == "adult" else ["uint8"])
    assert [array.name for array in case.raw] == [array.name for array in case.inputs]
    command = [sys.executable, "mtl_edge_client.py", "model.onnx", "--check", "goldens"]
    checked = subprocess.run(command, cwd=kit, capture_output=True, text=True, check=False)
    assert "4 golden vectors agree" in checked.stdout, checked.stderr


def test_the_command_exports_a_network_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the folder that it is called in; what goes wrong is one line and exit code 2."""
    monkeypatch.chdir(tmp_path)
    code = "from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Linear(5, 3), nn.ReLU())\n"
    (tmp_path / "mynet.py").write_text(code)
    done = CliRunner().invoke(main, ["export", "mynet:make", "--example", "2x5", "-o", "out", "--opset", "17"])
    assert done.exit_code == 0, done.output
    assert "torch -> onnx" in done.output
    assert onnx.load(tmp_path / "out" / "model.onnx").opset_import[0].version == 17
    for arguments, message in (
        (["mynet:make", "-o", "no"], "must have inputs to trace the network with (--example)"),
        (["absent.onnx", "-o", "no"], "absent.onnx: must be an .onnx file or pkg.mod:factory, found neither"),
        ([str(DIGITS), "-o", "no", "--example", "1x3"], "--example is for a network"),
        ([str(DIGITS), "-o", "no", "--for", "python", "--ort", "arm"], "a kit (--for) has one file of the model"),
    ):
        done = CliRunner().invoke(main, ["export", *arguments])
        assert done.exit_code == 2
        assert message in done.output
    assert not (tmp_path / "no").exists()


def test_errors_are_ours(tmp_path: Path) -> None:
    """A damaged file is one line."""
    shutil.copy(DIGITS, tmp_path / "model.onnx")
    content = (tmp_path / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(MtlEdgeError):
        read_model(tmp_path / "model.onnx")


def test_what_does_all_by_itself_is_quantized_before(artifact: Path, tmp_path: Path) -> None:
    """The message says of which model to begin with."""
    from mtl_edge.quantize.file import quantize_file

    _export(artifact, tmp_path / "out", graph=IN_GRAPH)
    np.savez(tmp_path / "calib.npz", image=np.arange(16, dtype=np.uint8).reshape(8, 2))
    with pytest.raises(ModelError, match=r"must be quantized before it preprocesses or decodes in the graph"):
        quantize_file(tmp_path / "out" / "model.onnx", tmp_path / "calib.npz", tmp_path / "int8.onnx")
