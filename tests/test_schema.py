"""Tests of :mod:`mtl_edge.schema`."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from mtl_edge.artifact import Manifest, write_artifact
from mtl_edge.cli import main
from mtl_edge.kits.destinations import DESTINATIONS
from mtl_edge.kits.kit import write_kit
from mtl_edge.schema import manifest_schema, published_schema
from mtl_edge.storage import write_atomically

ROOT = Path(__file__).parents[1]
MODELS = sorted(path.parent for path in (ROOT / "models").glob("*/manifest.json"))


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    """What any reader of JSON Schema makes of it."""
    schema = json.loads(published_schema())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_published_schema_is_that_of_the_types() -> None:
    """When this fails, ``python -c 'from mtl_edge.schema import *; print(manifest_schema(), end="")'`` writes it."""
    assert published_schema() == manifest_schema()


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_manifests_of_the_reference_models_are_valid(folder: Path, validator: Draft202012Validator) -> None:
    """Those of older versions, too."""
    validator.validate(json.loads((folder / "manifest.json").read_bytes()))


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_the_manifest_of_a_kit_is_valid(destination: str, tmp_path: Path, validator: Draft202012Validator) -> None:
    """Every destination gets the same."""
    kit = write_kit(ROOT / "models" / "hello-mlp" / "model.onnx", destination, tmp_path / "kit")
    validator.validate(json.loads((kit.folder / "manifest.json").read_bytes()))


def test_a_sealed_manifest_says_what_the_graph_says(
    tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest, validator: Draft202012Validator
) -> None:
    """Opset, IR version, layout, names, dtypes and shapes of outputs need not be given, and are valid."""
    bare = msgspec.structs.replace(
        tiny_manifest,
        opset=0,
        ir_version=None,
        outputs=(),
        inputs=tuple(msgspec.structs.replace(item, layout=None) for item in tiny_manifest.inputs),
    )
    sealed = write_artifact(tmp_path, tiny_model, bare).manifest
    assert msgspec.structs.replace(sealed, sha256="") == tiny_manifest
    validator.validate(json.loads(msgspec.json.encode(sealed)))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"format": 2}, "1 was expected"),
        ({"tasks": [{"kind": "magic", "name": "a", "target": "a"}]}, "is not valid under any of the given schemas"),
        ({"opset": "20"}, "'20' is not of type 'integer'"),
        ({"sha256": "short"}, "'short' does not match"),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(
    change: dict[str, Any], fault: str, tiny_manifest: Manifest, validator: Draft202012Validator
) -> None:
    """It is not merely true of everything."""
    sealed = msgspec.structs.replace(tiny_manifest, sha256="0" * 64)
    (error,) = validator.iter_errors(json.loads(msgspec.json.encode(sealed)) | change)
    assert fault in error.message


def test_the_command_prints_schema_and_manifest(tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest) -> None:
    """A model's manifest comes as it stands beside it; one or the other must be asked for."""
    path = write_artifact(tmp_path, tiny_model, tiny_manifest).path
    assert CliRunner().invoke(main, ["manifest", "--schema"]).stdout == published_schema()
    assert CliRunner().invoke(main, ["manifest", str(path)]).stdout == (tmp_path / "manifest.json").read_text()
    assert CliRunner().invoke(main, ["manifest"]).exit_code == 2


def test_a_model_without_a_manifest_has_none_to_print(tmp_path: Path, tiny_model: bytes) -> None:
    """One line, exit code 2."""
    write_atomically(tmp_path / "plain.onnx", tiny_model)
    result = CliRunner().invoke(main, ["manifest", str(tmp_path / "plain.onnx")])
    assert result.exit_code == 2
    assert "plain.onnx: must carry mtl-edge's manifest, found none" in result.stderr
