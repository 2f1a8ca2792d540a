"""Tests of :mod:`mtl_edge.optimize.file`, and of the command that calls it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from mtl_edge.artifact import Manifest, write_artifact
from mtl_edge.cli import main
from mtl_edge.optimize import optimize as module
from mtl_edge.optimize.file import optimize_file
from mtl_edge.runtime import manifest_of, open_session


@pytest.fixture
def gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change is faster."""
    monkeypatch.setattr(module, "is_faster", lambda mine, theirs, batch: True)
    monkeypatch.setattr(module, "latency_ratio", lambda theirs, mine, batch: 0.5)


@pytest.fixture
def artifact(tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest) -> Path:
    """The tiny model, whose two layers read its input."""
    return write_artifact(tmp_path / "artifact", tiny_model, tiny_manifest).path


@pytest.mark.usefixtures("gain")
def test_the_manifest_says_what_was_done(artifact: Path, tiny_manifest: Manifest, tmp_path: Path) -> None:
    """It names the parent, and has no metrics that nobody measured of this file."""
    found = optimize_file(artifact, tmp_path / "faster.onnx")
    session = open_session(tmp_path / "faster.onnx")
    manifest, parent = manifest_of(tmp_path / "faster.onnx", session), manifest_of(artifact, open_session(artifact))
    assert manifest is not None
    assert parent is not None
    assert manifest.variant == "dense-optimized"
    assert manifest.metrics is None
    assert manifest.lineage.steps == (*tiny_manifest.lineage.steps, "optimize graph")
    assert (manifest.lineage.parent, manifest.lineage.parent_sha256) == ("dense", parent.sha256)
    assert (found.nodes_before, found.nodes_after, found.largest_difference) == (2, 2, 0)
    x = {"image": np.ones((3, 2), np.float32)}
    for mine, theirs in zip(session.run(None, x), open_session(artifact).run(None, x), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.usefixtures("gain")
def test_a_model_of_other_tools_needs_no_manifest(tiny_model: bytes, tmp_path: Path) -> None:
    """What else its metadata say stays."""
    proto = onnx.load_from_string(tiny_model)
    proto.metadata_props.add(key="author", value="somebody")
    onnx.save(proto, tmp_path / "model.onnx")
    assert optimize_file(tmp_path / "model.onnx", tmp_path / "faster.onnx").applied
    (entry,) = onnx.load(tmp_path / "faster.onnx").metadata_props
    assert (entry.key, entry.value) == ("author", "somebody")


def test_the_command_shows_what_it_did(artifact: Path, tmp_path: Path) -> None:
    """Two small products are no slower than one, and so the model stays; raw data are preprocessed."""
    data, output = tmp_path / "inputs.npz", tmp_path / "faster.onnx"
    np.savez(data, image=np.random.default_rng(0).integers(0, 255, (40, 2), dtype=np.uint8))
    result = CliRunner().invoke(main, ["optimize", str(artifact), "-o", str(output), "--data", str(data)])
    assert result.exit_code == 0, result.output
    assert "applied" in result.output
    assert manifest_of(output, open_session(output)) is not None


def test_bad_data_are_one_line(artifact: Path, tmp_path: Path) -> None:
    """With the name of the input that was missed."""
    np.savez(tmp_path / "inputs.npz", picture=np.zeros((4, 2), np.float32))
    result = CliRunner().invoke(main, ["optimize", str(artifact), "--data", str(tmp_path / "inputs.npz")])
    assert result.exit_code == 2
    assert "no array 'image', found picture" in result.output
