"""Tests of :mod:`mtl_edge.signing`: keys and signatures in minisign's format."""

import base64
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_edge.errors import SignatureError
from mtl_edge.signing.keys import SecretKey, from_base64, new_key, read_public_key, read_secret_key, write_keys
from mtl_edge.signing.scrypt import Limits
from mtl_edge.signing.signature import check_signature, sign_file, signature_path

CHEAP = Limits(operations=1 << 15, memory=1 << 20)

VECTOR = """\
untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1633700835	file:test	prehashed
wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==
"""
VECTOR_KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
"""A signature of the file ``test`` (content ``test``) that is in the documentation of minisign's implementations."""


def _no_password() -> str:
    raise AssertionError("no password may be asked for")


def _do(*command: object, folder: Path, typed: str = "") -> "subprocess.CompletedProcess[str]":
    line = list(map(str, command))
    return subprocess.run(line, cwd=folder, input=typed, capture_output=True, text=True, check=False)


@pytest.fixture
def minisign() -> str:
    """The program; CI may not do without."""
    found = shutil.which("minisign")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs minisign: apt-get install minisign")
    return str(found)


@pytest.fixture
def key() -> SecretKey:
    """A new one."""
    return new_key()


@pytest.fixture
def signed(tmp_path: Path, key: SecretKey) -> Path:
    """A file with a signature."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights" * 1000)
    sign_file(path, key)
    return path


def test_a_signature_is_valid_for_its_key_and_file(signed: Path, key: SecretKey) -> None:
    """And tells the file's name."""
    assert "file:model.onnx" in check_signature(signed, key.public)


def test_a_signature_that_minisign_made_is_valid(tmp_path: Path) -> None:
    """A published one."""
    (tmp_path / "test").write_bytes(b"test")
    (tmp_path / "test.minisig").write_text(VECTOR)
    assert "file:test" in check_signature(tmp_path / "test", read_public_key(VECTOR_KEY))


@given(position=st.integers(0, 6999), bit=st.integers(0, 7))
def test_any_changed_bit_of_the_file_is_found(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
) -> None:
    """Whatever it is."""
    key, path = new_key(), tmp_path_factory.mktemp("signed") / "model.onnx"
    content = bytearray(b"weights" * 1000)
    path.write_bytes(content)
    sign_file(path, key)
    content[position] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(SignatureError, match=r"model\.onnx: is not the file that the key [0-9A-F]{16} signed"):
        check_signature(path, key.public)


def test_any_changed_letter_of_the_signature_is_found(signed: Path, key: SecretKey) -> None:
    """Of the comment that can be trusted, too; the first line says of itself that it cannot."""
    beside = signature_path(signed)
    text = beside.read_text()
    for position in range(text.index("\n") + 1, len(text) - 1):
        letter = "B" if text[position] == "A" else "A"
        beside.write_text(text[:position] + letter + text[position + 1 :])
        with pytest.raises(SignatureError):
            check_signature(signed, key.public)


def test_bits_that_stand_for_nothing_must_not_be_set() -> None:
    """Two letters are twelve bits, of which a byte is eight."""
    assert from_base64("QQ==") == b"A"
    with pytest.raises(ValueError, match="bits that stand for nothing"):
        from_base64("QR==")


def test_a_signature_by_somebody_else_is_refused(signed: Path) -> None:
    """Both keys are named."""
    other = new_key().public
    with pytest.raises(SignatureError, match=rf"must be by the key {other.name}, found [0-9A-F]{{16}}"):
        check_signature(signed, other)


def test_a_key_with_another_s_name_is_refused(signed: Path, key: SecretKey) -> None:
    """The eight bytes of a name prove nothing."""
    impostor = SecretKey(new_key().seed, key.public)
    sign_file(signed, impostor)
    with pytest.raises(SignatureError, match="is not the file that the key"):
        check_signature(signed, key.public)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"one line", b"a\nb\nc\nd\n", b"untrusted comment: x\n!\n"])
def test_what_is_no_signature_is_refused(signed: Path, key: SecretKey, content: bytes) -> None:
    """Other bytes, other text, half a file."""
    signature_path(signed).write_bytes(content)
    with pytest.raises(SignatureError, match=r"model\.onnx\.minisig: is no minisign signature"):
        check_signature(signed, key.public)


def test_a_missing_signature_is_refused(tmp_path: Path, key: SecretKey) -> None:
    """The message names the file that ought to be there."""
    (tmp_path / "model.onnx").write_bytes(b"weights")
    with pytest.raises(SignatureError, match=r"model\.onnx\.minisig: must be a signature of the file, cannot be read"):
        check_signature(tmp_path / "model.onnx", key.public)


def test_keys_survive_their_files(tmp_path: Path, key: SecretKey) -> None:
    """The public key also as one line."""
    public = write_keys(tmp_path / "mine.key", key)
    assert public == tmp_path / "mine.pub"
    assert read_secret_key(tmp_path / "mine.key", _no_password) == key
    assert read_public_key(str(public)) == read_public_key(key.public.line) == key.public


def test_a_secret_key_is_its_owner_s_alone(tmp_path: Path, key: SecretKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the umask says, at no time; and it is not shown by accident."""
    seen = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, to: (seen.append(path.stat().st_mode), replace(path, to))[1])
    before = os.umask(0)
    try:
        write_keys(tmp_path / "mine.key", key)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "mine.key").stat().st_mode) == stat.S_IMODE(seen[0]) == 0o600
    assert key.seed.hex() not in repr(key)
    assert str(key.seed) not in repr(key)


def test_a_key_that_is_there_is_not_overwritten(tmp_path: Path, key: SecretKey) -> None:
    """Neither the secret one nor the public one."""
    (tmp_path / "mine.pub").write_text("precious")
    with pytest.raises(SignatureError, match=r"mine\.pub: must not be there yet"):
        write_keys(tmp_path / "mine.key", key)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.pub"}


def test_an_encrypted_key_needs_its_password(tmp_path: Path, key: SecretKey) -> None:
    """Any other one is told from it."""
    path = tmp_path / "mine.key"
    path.write_text(key.content("open sesame", CHEAP))
    assert read_secret_key(path, lambda: "open sesame") == key
    with pytest.raises(SignatureError, match="the password is wrong"):
        read_secret_key(path, lambda: "open says me")


def test_a_key_that_would_take_all_memory_is_refused(tmp_path: Path, key: SecretKey) -> None:
    """Its file says what its password costs; that is not believed without bounds."""
    path = tmp_path / "mine.key"
    content = bytearray(base64.b64decode(key.content("secret", CHEAP).splitlines()[1]))
    content[38:54] = Limits(1 << 60, 1 << 60).encoded
    path.write_text(f"untrusted comment: x\n{base64.b64encode(content).decode()}\n")
    with pytest.raises(SignatureError, match="at most 2 GiB"):
        read_secret_key(path, lambda: "secret")


@pytest.mark.parametrize("content", ["", "a\nb\n", "untrusted comment: x\nAAAA\n", "x\n" + "RWQ" * 40 + "\n"])
def test_what_is_no_key_is_refused(tmp_path: Path, content: str) -> None:
    """As a secret one and as a public one."""
    path = tmp_path / "some.key"
    path.write_text(content)
    with pytest.raises(SignatureError, match=r"some\.key: must be a minisign secret key"):
        read_secret_key(path, _no_password)
    with pytest.raises(SignatureError, match=r"some\.key: must be a minisign public key"):
        read_public_key(str(path))


@pytest.mark.parametrize(
    ("limits", "parameters"),
    [
        (Limits(33_554_432, 1 << 30), (1 << 20, 1)),  # libsodium's SENSITIVE
        (Limits(524_288, 1 << 24), (1 << 14, 1)),  # and its INTERACTIVE
        (Limits(1 << 23, 1 << 28), (1 << 18, 1)),
    ],
)
def test_the_cost_of_passwords_is_that_of_libsodium(limits: Limits, parameters: tuple[int, int]) -> None:
    """So that its files can be read."""
    assert limits.parameters == parameters


def test_minisign_accepts_what_is_signed_here(minisign: str, signed: Path, key: SecretKey) -> None:
    """And refuses another file."""
    assert _do(minisign, "-V", "-P", key.public.line, "-m", signed.name, folder=signed.parent).returncode == 0
    signed.write_bytes(b"other weights")
    assert _do(minisign, "-V", "-P", key.public.line, "-m", signed.name, folder=signed.parent).returncode != 0


def test_minisign_signs_with_our_keys_and_we_with_its(minisign: str, tmp_path: Path, key: SecretKey) -> None:
    """Encrypted or not, the files of keys are the same."""
    model = tmp_path / "model.onnx"
    model.write_bytes(b"weights")
    (tmp_path / "ours.key").write_text(key.content("sesame", CHEAP))
    done = _do(minisign, "-S", "-s", "ours.key", "-m", model.name, folder=tmp_path, typed="sesame\n")
    assert done.returncode == 0, done.stderr
    check_signature(model, key.public)
    assert _do(minisign, "-G", "-W", "-p", "its.pub", "-s", "its.key", folder=tmp_path).returncode == 0
    its = read_secret_key(tmp_path / "its.key", _no_password)
    sign_file(model, its)
    assert _do(minisign, "-V", "-p", "its.pub", "-m", model.name, folder=tmp_path).returncode == 0
