"""Tests of :mod:`mtl_edge.artifact`."""

import hashlib
from pathlib import Path

import msgspec
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl_edge.artifact import METADATA_KEY, Manifest, parse_manifest, read_manifest, write_artifact
from mtl_edge.errors import ModelError

_shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
"""Each example writes its files anew."""


def _metadata(path: Path) -> dict[str, str]:
    """The metadata as ONNX Runtime reads it."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return dict(session.get_modelmeta().custom_metadata_map)


@_shared_folder
@given(name=st.text(st.characters(exclude_categories=["Cs"]), max_size=400), parameters=st.integers(0, 2**40))
def test_the_runtime_reads_back_the_manifest_that_was_written(
    tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest, name: str, parameters: int
) -> None:
    """The sealed file loads in ONNX Runtime; its manifest is the one given, with the hash of the file without it."""
    manifest = msgspec.structs.replace(tiny_manifest, name=name, parameters=parameters)
    artifact = write_artifact(tmp_path, tiny_model, manifest)
    assert read_manifest(artifact.path, _metadata(artifact.path)) == artifact.manifest
    content = artifact.path.read_bytes()
    assert content.startswith(tiny_model)
    digits = hashlib.sha256(content[:-66] + content[-2:]).hexdigest()
    assert artifact.manifest == msgspec.structs.replace(manifest, sha256=digits)


def test_the_file_beside_the_model_holds_the_same_manifest(
    tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest
) -> None:
    """``manifest.json`` is for people and for clients that do not open the model."""
    artifact = write_artifact(tmp_path / "dense", tiny_model, tiny_manifest)
    assert artifact.path == tmp_path / "dense" / "model.onnx"
    assert parse_manifest((tmp_path / "dense" / "manifest.json").read_bytes(), place="beside") == artifact.manifest
    assert {path.name for path in (tmp_path / "dense").iterdir()} == {"model.onnx", "manifest.json"}


@_shared_folder
@given(length=st.integers(0, 70_000))
def test_a_manifest_of_any_length_is_valid_protobuf(
    tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest, length: int
) -> None:
    """The onnx package, which has another reader of protobuf, finds the graph and one entry of metadata."""
    manifest = msgspec.structs.replace(tiny_manifest, name="x" * length)
    proto = onnx.load(write_artifact(tmp_path, tiny_model, manifest).path)
    onnx.checker.check_model(proto)
    assert proto.graph == onnx.load_from_string(tiny_model).graph
    assert [(entry.key, parse_manifest(entry.value, place="inside").name) for entry in proto.metadata_props] == [
        (METADATA_KEY, manifest.name)
    ]


def test_writing_the_same_artifact_twice_gives_the_same_bytes(
    tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest
) -> None:
    """No time and no place is in the files."""
    for folder in ("first", "second"):
        write_artifact(tmp_path / folder, tiny_model, tiny_manifest)
    for name in ("model.onnx", "manifest.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_a_model_without_a_manifest_has_none(tmp_path: Path, tiny_model: bytes) -> None:
    """Any other .onnx is fine, whatever metadata it has."""
    assert read_manifest(tmp_path / "absent.onnx", {"author": "someone"}) is None


def test_every_flipped_byte_since_loading_is_refused(
    tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest
) -> None:
    """Neither the model nor its manifest can differ from what was loaded without being told."""
    path = write_artifact(tmp_path, tiny_model, tiny_manifest).path
    metadata, content = _metadata(path), path.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ModelError, match="must have the SHA-256 that its manifest names: it was changed"):
            read_manifest(path, metadata)


def test_a_changed_weight_is_refused_though_the_runtime_loads_it(
    tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest
) -> None:
    """A graph that is valid but not the one that was measured does not pass."""
    path = write_artifact(tmp_path, tiny_model, tiny_manifest).path
    proto = onnx.load_from_string(tiny_model)
    weights = next(item for item in proto.graph.initializer if item.name == "to_size").raw_data
    content = path.read_bytes()
    path.write_bytes(content.replace(weights, weights[::-1], 1))
    with pytest.raises(ModelError, match=r"model\.onnx: the file must have the SHA-256"):
        read_manifest(path, _metadata(path))


@pytest.mark.parametrize("extra", [b"\x00", b"\x72\x00"])
def test_bytes_after_the_manifest_are_refused(
    tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest, extra: bytes
) -> None:
    """Nothing may be added behind the seal."""
    path = write_artifact(tmp_path, tiny_model, tiny_manifest).path
    metadata = _metadata(path)
    path.write_bytes(path.read_bytes() + extra)
    with pytest.raises(ModelError, match="changed after export"):
        read_manifest(path, metadata)


def test_a_model_saved_anew_with_the_old_manifest_is_refused(
    tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest
) -> None:
    """Tools that rewrite a model carry its metadata along; the figures in it are no longer those of the file."""
    path = write_artifact(tmp_path, tiny_model, tiny_manifest).path
    proto = onnx.load(path)
    proto.producer_name = "another tool"
    onnx.save(proto, path)
    with pytest.raises(ModelError, match="changed after export"):
        read_manifest(path, _metadata(path))


def test_a_newer_format_is_refused(tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest) -> None:
    """The message names the file, the rule, the found format, and the cure."""
    newer = msgspec.structs.replace(tiny_manifest, format=2)
    path = write_artifact(tmp_path, tiny_model, newer).path
    with pytest.raises(ModelError) as caught:
        read_manifest(path, _metadata(path))
    assert str(caught.value) == f"{path}: manifest: format must be 1, found 2: another mtl-edge wrote it"


def test_keys_that_a_later_version_adds_are_passed_over(tiny_manifest: Manifest) -> None:
    """Within one format, an older reader reads what a newer writer wrote."""
    extended = msgspec.to_builtins(tiny_manifest) | {"remark": "new"}
    assert parse_manifest(msgspec.json.encode(extended), place="here") == tiny_manifest


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"format": 1}', '{"format": "one"}', b"\xff\xfe", "{'format': 1}"]
)
def test_a_damaged_manifest_is_told_in_one_line(text: str | bytes) -> None:
    """No JSON, other JSON, other bytes: the place and the fault."""
    with pytest.raises(ModelError) as caught:
        parse_manifest(text, place="here")
    assert str(caught.value).startswith("here: is not a readable manifest: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["name", "variant", "tasks", "inputs", "lineage", "opset", "versions"])
def test_a_manifest_that_lacks_a_field_is_told_by_it(tiny_manifest: Manifest, field: str) -> None:
    """What a client must know must be there."""
    fields = msgspec.to_builtins(tiny_manifest)
    del fields[field]
    with pytest.raises(ModelError, match=f"missing required field `{field}`"):
        parse_manifest(msgspec.json.encode(fields), place="here")
