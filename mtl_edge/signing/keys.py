"""Pairs of keys, in the files that minisign keeps them in."""

import base64
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mtl_edge.errors import SignatureError
from mtl_edge.signing.scrypt import DEFAULT_LIMITS, Limits, derive
from mtl_edge.storage import write_atomically

_ALGORITHM, _PLAIN, _SCRYPT, _CHECKSUM = b"Ed", b"\0\0", b"Sc", b"B2"
_SECRET_BYTES = 2 + 2 + 2 + 32 + 8 + 8 + 8 + 64 + 32
_PUBLIC_BYTES = 2 + 8 + 32
_LONGEST_FILE = 4096


@dataclass(frozen=True)
class PublicKey:
    """What signatures are checked with: 32 bytes of Ed25519, and the eight by which people tell keys apart."""

    key_id: bytes
    point: bytes

    @property
    def name(self) -> str:
        """The key's id as minisign shows it."""
        return self.key_id[::-1].hex().upper()

    @property
    def line(self) -> str:
        """The key in one line, as ``--public-key`` and ``minisign -P`` take it."""
        return base64.b64encode(_ALGORITHM + self.key_id + self.point).decode()

    @property
    def text(self) -> str:
        """The content of its file."""
        return f"untrusted comment: minisign public key {self.name}\n{self.line}\n"


@dataclass(frozen=True, repr=False)
class SecretKey:
    """What signatures are made with; never printed."""

    seed: bytes
    public: PublicKey

    def content(self, password: str | None = None, limits: Limits = DEFAULT_LIMITS) -> str:
        """The content of its file, encrypted if there is a password."""
        secret = self.seed + self.public.point
        checksum = hashlib.blake2b(_ALGORITHM + self.public.key_id + secret, digest_size=32).digest()
        body, salt = self.public.key_id + secret + checksum, os.urandom(32)
        if password is None:
            method, limits = _PLAIN, Limits(0, 0)
        else:
            method, body = _SCRYPT, _xor(body, derive(password, salt, limits, len(body)))
        head = _ALGORITHM + method + _CHECKSUM + salt + limits.encoded
        kind = "secret key" if password is None else "encrypted secret key"
        return f"untrusted comment: minisign {kind}\n{base64.b64encode(head + body).decode()}\n"


def new_key() -> SecretKey:
    """A key that nobody had before."""
    return _secret_key(os.urandom(32), os.urandom(8))


def write_keys(path: Path, key: SecretKey, password: str | None = None) -> Path:
    """Write the secret key, which only its owner can read, and beside it the public one; the path of that.

    Raises:
        SignatureError: one of them is there already: a key that is overwritten is lost.
        WorkdirError: they cannot be written.
    """
    public = path.with_name(f"{path.stem}.pub")
    for there in (path, public):
        if there.exists():
            raise SignatureError(f"{there}: must not be there yet, for a key that is overwritten is lost")
    write_atomically(path, key.content(password), private=True)
    write_atomically(public, key.public.text)
    return public


def read_public_key(given: str) -> PublicKey:
    """A public key from its file, or from its one line.

    Raises:
        SignatureError: it is neither.
    """
    path = Path(given)
    line = _key_line(path) if path.is_file() else given
    data = _decoded(line, _PUBLIC_BYTES, f"{given}: must be a minisign public key, or the file of one")
    return PublicKey(data[2:10], data[10:])


def read_secret_key(path: Path, ask_password: Callable[[], str]) -> SecretKey:
    """A secret key from its file; the password is asked for only where there is one.

    Raises:
        SignatureError: the file is no secret key, or the password is wrong.
    """
    place = f"{path}: must be a minisign secret key"
    data = _decoded(_key_line(path), _SECRET_BYTES, place)
    method, salt, limits, body = data[2:4], data[6:38], Limits.decoded(data[38:54]), data[54:]
    if method not in (_PLAIN, _SCRYPT) or data[4:6] != _CHECKSUM:
        raise SignatureError(f"{place}, found one of another kind")
    if method == _SCRYPT:
        body = _xor(body, derive(ask_password(), salt, limits, len(body)))
    key_id, secret, checksum = body[:8], body[8:72], body[72:]
    key = _secret_key(secret[:32], key_id)
    unchecked = method == _PLAIN and not any(checksum)  # as minisign -W writes it
    expected = hashlib.blake2b(_ALGORITHM + key_id + secret, digest_size=32).digest()
    if secret[32:] != key.public.point or (checksum != expected and not unchecked):
        raise SignatureError(f"{path}: {'the password is wrong' if method == _SCRYPT else 'the key is damaged'}")
    return key


def _secret_key(seed: bytes, key_id: bytes) -> SecretKey:
    from mtl_edge.signing.ed25519 import public_point

    return SecretKey(seed, PublicKey(key_id, public_point(seed)))


def _key_line(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            lines = stream.read(_LONGEST_FILE).decode(errors="replace").splitlines()
    except OSError as error:
        raise SignatureError(f"{path}: cannot be read: {error.strerror or error}") from error
    return lines[1] if len(lines) > 1 else ""


def _decoded(line: str, size: int, place: str) -> bytes:
    try:
        data = from_base64(line.strip())
    except ValueError as error:
        raise SignatureError(f"{place}, found text that is not base64") from error
    if len(data) != size or data[:2] != _ALGORITHM:
        raise SignatureError(f"{place}, found {len(data)} bytes of another kind")
    return data


def from_base64(text: str) -> bytes:
    """What a text stands for; the last letter has bits that decoders pass over, and must have none set there.

    Raises:
        ValueError: it is not how these bytes are written.
    """
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("the last letter has bits that stand for nothing")
    return data


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
