"""Kits: whole folders that a destination's client can verify."""

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tree_sitter
import tree_sitter_swift
from click.testing import CliRunner
from clients.small_models import several

from mtl_edge.artifact import MODEL_FILE, Manifest, write_artifact
from mtl_edge.cli import main
from mtl_edge.errors import DataError, ModelError, WorkdirError
from mtl_edge.export.preprocess import preprocess_in_graph
from mtl_edge.kits import kit as kit_module
from mtl_edge.kits.destinations import DESTINATIONS
from mtl_edge.kits.goldens import Goldens, golden_samples
from mtl_edge.kits.kit import KIT_FILE, KitRecord, write_kit
from mtl_edge.preprocessing import Features
from mtl_edge.storage import sha256_of_file

ROOT = Path(__file__).parents[2]
MODELS = ("mnist-pairs", "adult-mmoe", "reviews", "fashion-scenes")  # pixels, a table, tokens, dense outputs


def _kit(name: str, folder: Path, destination: str = "python") -> Path:
    return write_kit(ROOT / "models" / name / MODEL_FILE, destination, folder).folder


def _check(kit: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "mtl_edge_client.py", "model.onnx", "--check", "goldens"]
    return subprocess.run(command, cwd=kit, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_a_kit_lists_every_file_with_its_hash(destination: str, tmp_path: Path) -> None:
    """kit.json names all files but itself, and their SHA-256."""
    kit = _kit("mnist-pairs", tmp_path / "kit", destination)
    record = msgspec.json.decode((kit / KIT_FILE).read_bytes(), type=KitRecord)
    found = {path.relative_to(kit).as_posix() for path in kit.rglob("*") if path.is_file()}
    assert found == {*record.files, KIT_FILE}
    assert {"model.onnx", "manifest.json", "goldens/goldens.json", "README.md"} <= found
    assert record.files == {name: sha256_of_file(kit / name) for name in record.files}


@pytest.mark.parametrize("model", MODELS)
def test_the_client_in_a_kit_agrees_with_its_golden_vectors(model: str, tmp_path: Path) -> None:
    """Whatever the model reads and answers, the copied client verifies it with the files of the kit alone."""
    done = _check(_kit(model, tmp_path / "kit"))
    assert done.returncode == 0, done.stderr
    assert "4 golden vectors agree" in done.stdout


def test_a_golden_vector_that_differs_is_found(tmp_path: Path) -> None:
    """The client names case, output, place, and what it found."""
    kit = _kit("mnist-pairs", tmp_path / "kit")
    goldens = msgspec.json.decode((kit / "goldens" / "goldens.json").read_bytes(), type=Goldens)
    output = goldens.cases[1].outputs[0]
    path = kit / "goldens" / output.file
    values = np.fromfile(path, "<f4")
    values[3] += 3 * output.atol
    path.write_bytes(values.tobytes())
    done = _check(kit)
    assert done.returncode != 0
    assert "case 1: output 'left': must be within" in done.stderr
    assert "at (0, 3)" in done.stderr


def test_golden_vectors_of_another_model_are_refused(tmp_path: Path) -> None:
    """They name the model that they are of."""
    kit, other = _kit("mnist-pairs", tmp_path / "kit"), _kit("fashion-pairs", tmp_path / "other")
    shutil.copy(other / "model.onnx", kit / "model.onnx")
    assert "golden vectors must be of the model" in _check(kit).stderr


def test_golden_vectors_are_the_given_samples(tmp_path: Path) -> None:
    """With data, raw samples are its first ones."""
    images = np.random.default_rng(0).integers(0, 255, (6, 1, 36, 36), np.uint8)
    np.savez(tmp_path / "test.npz", image=images)
    model = ROOT / "models" / "mnist-pairs" / MODEL_FILE
    kit = write_kit(model, "python", tmp_path / "kit", data=tmp_path / "test.npz", goldens=2).folder
    goldens = msgspec.json.decode((kit / "goldens" / "goldens.json").read_bytes(), type=Goldens)
    raw = [np.fromfile(kit / "goldens" / case.raw[0].file, "u1").reshape(case.raw[0].shape) for case in goldens.cases]
    np.testing.assert_array_equal(np.concatenate(raw), images[:2])


@pytest.mark.parametrize(
    ("array", "rule"),
    [
        ({"picture": np.zeros((9, 1, 36, 36), np.uint8)}, "must hold 'image', found picture"),
        ({"image": np.zeros((9, 1, 36, 36), np.float32)}, "must be uint8"),
        ({"image": np.zeros((9, 1, 28, 36), np.uint8)}, "found uint8 (9, 1, 28, 36)"),
        ({"image": np.zeros((3, 1, 36, 36), np.uint8)}, "with 4 samples or more"),
    ],
)
def test_samples_that_the_model_does_not_read_are_refused(
    array: dict[str, np.ndarray], rule: str, tmp_path: Path
) -> None:
    """One line says what the model reads and what was found; nothing is written."""
    np.savez(tmp_path / "test.npz", **array)
    with pytest.raises(DataError, match=rule.replace("(", r"\(").replace(")", r"\)")):
        write_kit(ROOT / "models" / "mnist-pairs" / MODEL_FILE, "python", tmp_path / "kit", data=tmp_path / "test.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["test.npz"]


def test_nothing_but_a_kit_is_overwritten(tmp_path: Path) -> None:
    """A folder with other files is left alone; a kit is replaced only when that is asked for, and as a whole."""
    model = ROOT / "models" / "mnist-pairs" / MODEL_FILE
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(WorkdirError, match="must be a new or empty folder"):
        write_kit(model, "python", other, overwrite=True)
    assert (other / "thesis.txt").read_text() == "mine"
    kit = write_kit(model, "python", tmp_path / "kit").folder
    (kit / "leftover").touch()
    with pytest.raises(WorkdirError, match="a kit is there already"):
        write_kit(model, "python", kit)
    write_kit(model, "python", kit, overwrite=True)
    assert not (kit / "leftover").exists()


def test_a_model_without_a_manifest_is_refused(tmp_path: Path) -> None:
    """A client would not know what its outputs mean."""
    import onnx

    proto = onnx.load(ROOT / "models" / "mnist-pairs" / MODEL_FILE)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "bare.onnx")
    with pytest.raises(ModelError, match=r"must carry mtl-edge's manifest, .* mtl-edge manifest --tasks"):
        write_kit(tmp_path / "bare.onnx", "python", tmp_path / "kit")


def test_the_command_writes_a_kit(tmp_path: Path) -> None:
    """``mtl-edge export`` ends with where the kit is."""
    model = ROOT / "models" / "mnist-pairs" / MODEL_FILE
    done = CliRunner().invoke(main, ["export", str(model), "--for", "python", "-o", str(tmp_path / "kit")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "kit" / KIT_FILE).is_file()


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_what_a_client_cannot_read_is_refused_when_the_kit_is_written(
    destination: str, tiny_model: bytes, tiny_manifest: Manifest, tmp_path: Path
) -> None:
    """A kit whose client would refuse its own model is not written."""
    inputs = (msgspec.structs.replace(tiny_manifest.inputs[0], preprocessing=Features(dtype="float32")),)
    artifact = write_artifact(tmp_path / "model", tiny_model, msgspec.structs.replace(tiny_manifest, inputs=inputs))
    with pytest.raises(ModelError, match="'image' must be of pixels, a table or texts, found features"):
        write_kit(artifact.path, destination, tmp_path / "kit")
    assert not (tmp_path / "kit").exists()


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_several_inputs_of_all_kinds_have_a_kit(destination: str, tmp_path: Path) -> None:
    """Pixels, a row whose categories the graph looks up, and a text; Python's client reads them, and Swift is Swift."""
    model, manifest = several()
    made, rows = preprocess_in_graph(model, manifest.inputs[1])
    inputs = (manifest.inputs[0], *rows, manifest.inputs[2])
    artifact = write_artifact(tmp_path / "model", made, msgspec.structs.replace(manifest, inputs=inputs))
    kit = write_kit(artifact.path, destination, tmp_path / "kit").folder
    goldens = msgspec.json.decode((kit / "goldens" / "goldens.json").read_bytes(), type=Goldens)
    assert [array.name for array in goldens.cases[0].raw] == ["image", "the row.numbers", "the row.categories", "note"]
    if destination == "python":
        done = _check(kit)
        assert done.returncode == 0, done.stderr
    if destination == "ios":
        parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_swift.language()))
        for source in kit.rglob("*.swift"):
            assert not parser.parse(source.read_bytes()).root_node.has_error, source


def test_inputs_that_differ_in_their_samples_are_refused(tiny_manifest: Manifest) -> None:
    """A batch has as many of each; where one input has a size of its own, so have all."""
    (source,) = tiny_manifest.inputs
    two, open_, three = (msgspec.structs.replace(source, name=str(size), shape=(size, 2)) for size in (2, "n", 3))
    assert {name: len(array) for name, array in golden_samples([two, open_], 3).items()} == {"2": 6, "n": 6}
    with pytest.raises(ModelError, match="must read the same number of samples at a time, found 2 2, n n, 3 3"):
        golden_samples([two, open_, three], 1)


@pytest.mark.parametrize(
    ("isa", "destination", "warned"),
    [
        (("avx2",), "cpp", True),
        (("avx2",), "web", False),
        (("avx2", "avx512_vnni"), "cpp", False),
        (("avx2", "avx_vnni"), "python", False),
    ],
)
def test_golden_vectors_of_a_box_that_cuts_off_sums_are_told_of(
    isa: tuple[str, ...], destination: str, warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model for x86 with VNNI answers otherwise on x86 without it, and would be held to that."""
    machine = msgspec.structs.replace(kit_module.this_machine(), isa=isa)
    monkeypatch.setattr(kit_module, "this_machine", lambda: machine)
    kit = write_kit(ROOT / "models" / "mnist-pairs" / MODEL_FILE, destination, tmp_path / "kit")
    assert len(kit.remarks) == warned
    assert all("x86-vnni" in remark for remark in kit.remarks)
