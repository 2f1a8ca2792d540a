"""Tests of :mod:`mtl_edge.verify`: what was changed on its way is found, wherever it is."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from clients.small_models import TABLE, several, sum_of

from mtl_edge.artifact import Manifest, write_artifact
from mtl_edge.cli import main
from mtl_edge.errors import ModelError, MtlEdgeError, SignatureError
from mtl_edge.export.preprocess import preprocess_in_graph
from mtl_edge.kits.destinations import DESTINATIONS
from mtl_edge.kits.goldens import Goldens
from mtl_edge.kits.kit import KIT_FILE, KitRecord, write_kit
from mtl_edge.signing.keys import SecretKey, new_key
from mtl_edge.signing.scrypt import Limits
from mtl_edge.signing.signature import sign_file
from mtl_edge.storage import sha256_of_file
from mtl_edge.verify.files import written
from mtl_edge.verify.verify import verify

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder that was exported for a destination; made once."""
    folder = tmp_path_factory.mktemp("kits")

    def kit(destination: str) -> Path:
        if not (folder / destination).exists():
            write_kit(ROOT / "models" / "hello-mlp" / "model.onnx", destination, folder / destination)
        return folder / destination

    return kit


@pytest.fixture
def kit(kits: Callable[[str], Path], tmp_path: Path) -> Path:
    """A kit of one's own."""
    return Path(shutil.copytree(kits("python"), tmp_path / "kit"))


@pytest.fixture
def key() -> SecretKey:
    """A new one."""
    return new_key()


def _list_anew(kit: Path) -> None:
    """What somebody does who changes a file and its hash in the list."""
    record = msgspec.json.decode((kit / KIT_FILE).read_bytes(), type=KitRecord)
    files = {name: sha256_of_file(kit / name) for name in record.files}
    (kit / KIT_FILE).write_bytes(written(msgspec.structs.replace(record, files=files)))


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_a_kit_as_it_was_exported_is_right(kit: Path) -> None:
    """All files, the model's seal, and golden vectors to the bit on the box that made them."""
    found = verify(kit)
    assert found.files == len([path for path in kit.rglob("*") if path.is_file()]) - 1
    assert found.goldens is not None
    assert (found.goldens.cases, found.goldens.worst_share) == (4, 0.0)
    assert found.signed is found.signer is None


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_one_changed_byte_of_any_file_is_found(destination: str, kits: Callable[[str], Path], tmp_path: Path) -> None:
    """The first, the last and one between; what is signed or not makes no difference."""
    kit = Path(shutil.copytree(kits(destination), tmp_path / "kit"))
    files = sorted(path for path in kit.rglob("*") if path.is_file())
    assert len(files) > 10
    for path in files:
        content = path.read_bytes()
        for position in {0, len(content) // 2, len(content) - 1} if content else ():
            changed = bytearray(content)
            changed[position] ^= 1
            path.write_bytes(changed)
            with pytest.raises(ModelError) as caught:
                verify(kit)
            assert str(kit) in str(caught.value)
        path.write_bytes(content)
    verify(kit)


def test_a_changed_byte_of_the_list_is_found(kit: Path) -> None:
    """Nobody lists the list, so it must be as it is written, to the last space; every eleventh byte is tried."""
    path = kit / KIT_FILE
    content = path.read_bytes()
    for position in range(0, len(content), 11):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ModelError):
            verify(kit)


@pytest.mark.parametrize("name", ["goldens/new.bin", ".hidden", "mtl_edge_client.pyc"])
def test_a_file_that_was_added_is_found(kit: Path, name: str) -> None:
    """Even where nothing reads it."""
    (kit / name).write_bytes(b"")
    with pytest.raises(ModelError, match="must not be there: it is not in the list"):
        verify(kit)


def test_a_file_that_is_gone_is_found(kit: Path) -> None:
    """It is named."""
    (kit / "goldens" / "0-raw.bin").unlink()
    with pytest.raises(ModelError, match=r"0-raw\.bin: must be there, found no such file"):
        verify(kit)


def test_a_link_is_no_file(kit: Path, tmp_path: Path) -> None:
    """Even one to the very same content: what it leads to can change."""
    shutil.move(kit / "README.md", tmp_path / "README.md")
    (kit / "README.md").symlink_to(tmp_path / "README.md")
    with pytest.raises(ModelError, match=r"README\.md: must be a file or a folder, found a link"):
        verify(kit)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside", "", "a\\b"])
def test_a_list_cannot_name_what_is_outside(kit: Path, name: str) -> None:
    """Nothing there is read."""
    record = msgspec.json.decode((kit / KIT_FILE).read_bytes(), type=KitRecord)
    (kit / KIT_FILE).write_bytes(written(msgspec.structs.replace(record, files={**record.files, name: "0" * 64})))
    with pytest.raises(ModelError, match="must be named by their path within the folder"):
        verify(kit)


def test_another_model_with_its_hash_in_the_list_fails_the_golden_vectors(kit: Path) -> None:
    """Whoever exchanges the model must exchange what it answers, too."""
    shutil.copy(ROOT / "models" / "adult" / "model.onnx", kit / "model.onnx")
    shutil.copy(ROOT / "models" / "adult" / "manifest.json", kit / "manifest.json")
    _list_anew(kit)
    with pytest.raises(ModelError, match="the golden vectors must be those of"):
        verify(kit)


def test_a_manifest_beside_that_is_another_is_found(kit: Path) -> None:
    """Clients that read it instead of the model's own would be told something else."""
    path = kit / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"hello-mlp"', b'"jello-mlp"'))
    _list_anew(kit)
    with pytest.raises(ModelError, match=r"manifest\.json: must be the manifest that is inside of model\.onnx"):
        verify(kit)


def test_a_model_that_answers_otherwise_is_found(kit: Path) -> None:
    """Case, output, place, and both numbers."""
    goldens = msgspec.json.decode((kit / "goldens" / "goldens.json").read_bytes(), type=Goldens)
    output = goldens.cases[2].outputs[0]
    values = np.fromfile(kit / "goldens" / output.file, "<f4")
    (kit / "goldens" / output.file).write_bytes((values + 2 * output.atol).astype("<f4").tobytes())
    _list_anew(kit)
    with pytest.raises(ModelError, match=rf"case 2: output '{output.name}' at \(0, 0\) must be .* within .*, found"):
        verify(kit)


def test_a_signed_kit_needs_the_key_that_signed_it(kit: Path, key: SecretKey) -> None:
    """Who changes a file and lists it anew cannot sign it anew."""
    sign_file(kit / KIT_FILE, key)
    assert "file:kit.json" in (verify(kit, key.public).signer or "")
    assert verify(kit).signed == KIT_FILE
    with pytest.raises(SignatureError, match="must be by the key"):
        verify(kit, new_key().public)
    client = kit / "mtl_edge_client.py"
    client.write_text(client.read_text() + "\nprint('pwned')\n")
    _list_anew(kit)
    verify(kit)
    with pytest.raises(SignatureError, match=r"kit\.json: is not the file that the key"):
        verify(kit, key.public)


def test_an_unsigned_kit_is_refused_where_a_signature_is_asked_for(kit: Path, key: SecretKey) -> None:
    """Taking the signature away does not help."""
    with pytest.raises(SignatureError, match=r"kit\.json\.minisig: must be a signature of the file, cannot be read"):
        verify(kit, key.public)


def test_an_artifact_is_verified_by_its_file_or_its_folder(
    tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest
) -> None:
    """Its manifest beside it must be the same, to the byte."""
    path = write_artifact(tmp_path / "dense", tiny_model, tiny_manifest).path
    for what in (path, path.parent):
        assert list(verify(what).manifests) == ["model.onnx"]
    beside = path.with_name("manifest.json")
    beside.write_bytes(beside.read_bytes().replace(b"  ", b" \t", 1))
    with pytest.raises(ModelError, match="must be the manifest that is inside"):
        verify(path)


def test_a_model_without_a_manifest_cannot_be_verified(tmp_path: Path, tiny_model: bytes) -> None:
    """There is nothing to hold it to."""
    (tmp_path / "plain.onnx").write_bytes(tiny_model)
    with pytest.raises(ModelError, match=r"plain\.onnx: must carry mtl-edge's manifest"):
        verify(tmp_path / "plain.onnx")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """The message says what is looked for."""
    with pytest.raises(ModelError, match=r"must hold one of kit\.json, chain\.json, model\.onnx, found none"):
        verify(tmp_path)


def test_the_commands_go_together(tmp_path: Path, kit: Path) -> None:
    """Make keys, sign, verify; a wrong one exits with 2 and one line."""
    assert _run("keygen", tmp_path / "mine.key").exit_code == 0
    signed = _run("sign", kit, "--key", tmp_path / "mine.key")
    assert (signed.exit_code, str(kit / "kit.json.minisig") in signed.stdout) == (0, True)
    good = _run("verify", kit, "--public-key", tmp_path / "mine.pub")
    assert good.exit_code == 0
    assert "signature" in good.stdout
    assert "is valid" in good.stdout
    assert _run("keygen", tmp_path / "other.key").exit_code == 0
    bad = _run("verify", kit, "--public-key", tmp_path / "other.pub")
    assert bad.exit_code == 2
    assert bad.stderr.startswith("mtl-edge: error: ")
    assert len(bad.stderr.splitlines()) == 1


def test_nothing_broken_is_signed(kit: Path, tmp_path: Path) -> None:
    """A signature stands for what was exported."""
    assert _run("keygen", tmp_path / "mine.key").exit_code == 0
    (kit / "README.md").write_text("other")
    result = _run("sign", kit, "--key", tmp_path / "mine.key")
    assert result.exit_code == 2
    assert not (kit / "kit.json.minisig").exists()


def test_a_password_protects_the_key_on_the_command_line(tmp_path: Path, kit: Path) -> None:
    """It is asked for, twice when it is chosen."""
    made = CliRunner().invoke(main, ["keygen", str(tmp_path / "k.key"), "--password"], input="sesame\nsesame\n")
    assert made.exit_code == 0, made.output
    assert "encrypted" in (tmp_path / "k.key").read_text()
    (tmp_path / "k.key").write_text(new_key().content("sesame", Limits(operations=1 << 15, memory=1 << 20)))
    sign = ["sign", str(kit / "model.onnx"), "--key", str(tmp_path / "k.key")]
    wrong = CliRunner().invoke(main, sign, input="open\n")
    assert wrong.exit_code == 2
    assert "the password is wrong" in wrong.stderr
    assert CliRunner().invoke(main, sign, input="sesame\n").exit_code == 0


def test_a_rewritten_model_does_not_pass(tmp_path: Path, tiny_model: bytes, tiny_manifest: Manifest) -> None:
    """A tool that saves it anew breaks the seal."""
    path = write_artifact(tmp_path, tiny_model, tiny_manifest).path
    proto = onnx.load(path)
    proto.producer_name = "somebody"
    onnx.save(proto, path)
    with pytest.raises(MtlEdgeError, match="it was changed after export"):
        verify(path)


@pytest.mark.parametrize("name", ["rows", "pictures"])
def test_golden_vectors_of_a_graph_that_preprocesses_are_its_inputs(name: str, tmp_path: Path) -> None:
    """Numbers and texts of rows, pictures with channels last; what is another one is found."""
    model, manifest = sum_of(TABLE, 3) if name == "rows" else several()
    source = manifest.inputs[0]
    made, inputs = preprocess_in_graph(model, source)
    changed = msgspec.structs.replace(manifest, inputs=(*inputs, *manifest.inputs[1:]))
    kit = write_kit(write_artifact(tmp_path / "made", made, changed).path, "python", tmp_path / "kit").folder
    assert _run("verify", kit).exit_code == 0
    golden = kit / "goldens" / ("0-raw-1.bin" if name == "rows" else "0-raw.bin")
    content = bytearray(golden.read_bytes())
    content[next(at for at, byte in enumerate(content) if byte > 1)] ^= 1
    golden.write_bytes(content)
    _list_anew(kit)
    found = _run("verify", kit).output
    assert f"preprocessed {inputs[-1].name!r}" in found
    assert ("must be the texts that the golden vectors hold" in found) == (name == "rows")
