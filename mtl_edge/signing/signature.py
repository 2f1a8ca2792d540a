"""Sign a file, and check what somebody else has signed: ``FILE.minisig`` beside it."""

import base64
import hashlib
import time
from pathlib import Path

from mtl_edge.errors import SignatureError
from mtl_edge.signing.ed25519 import is_valid, signature_of
from mtl_edge.signing.keys import PublicKey, SecretKey, from_base64
from mtl_edge.storage import write_atomically

SUFFIX = ".minisig"
_PREHASHED = b"ED"
_TRUSTED = "trusted comment: "
_UNTRUSTED = "untrusted comment: "
_LONGEST_FILE = 16_384


def signature_path(path: Path) -> Path:
    """Where the signature of a file is."""
    return path.with_name(path.name + SUFFIX)


def sign_file(path: Path, key: SecretKey) -> Path:
    """Write the signature of a file beside it; one that is there is replaced.

    Raises:
        SignatureError: the file cannot be read.
        WorkdirError: the signature cannot be written.
    """
    signature = signature_of(_digest(path), key.seed)
    comment = f"timestamp:{int(time.time())}\tfile:{path.name}\thashed"
    lines = (
        f"{_UNTRUSTED}signature of a minisign secret key",
        base64.b64encode(_PREHASHED + key.public.key_id + signature).decode(),
        f"{_TRUSTED}{comment}",
        base64.b64encode(signature_of(signature + comment.encode(), key.seed)).decode(),
    )
    written = signature_path(path)
    write_atomically(written, "\n".join(lines) + "\n")
    return written


def check_signature(path: Path, key: PublicKey) -> str:
    """Check the signature beside a file; what its maker says in it, such as when it was made.

    Raises:
        SignatureError: there is none, it is of another key, or the file is not the one that was signed.
    """
    beside = signature_path(path)
    try:
        with beside.open("rb") as stream:
            text = stream.read(_LONGEST_FILE).decode()
    except OSError as error:
        raise SignatureError(f"{beside}: must be a signature of the file, cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SignatureError(f"{beside}: is no minisign signature") from error
    lines = text.split("\n")
    if len(lines) < 4 or not lines[0].startswith(_UNTRUSTED) or not lines[2].startswith(_TRUSTED):
        raise SignatureError(f"{beside}: is no minisign signature")
    try:
        packed, over_comment = (from_base64(lines[at].strip()) for at in (1, 3))
    except ValueError as error:
        raise SignatureError(f"{beside}: is no minisign signature") from error
    if len(packed) != 74 or packed[:2] != _PREHASHED:
        raise SignatureError(f"{beside}: must be a signature of the file's BLAKE2b hash, as minisign makes them now")
    made_by, signature = PublicKey(packed[2:10], key.point), packed[10:]
    if made_by != key:
        raise SignatureError(f"{beside}: must be by the key {key.name}, found {made_by.name}")
    if not is_valid(signature, _digest(path), key.point):
        raise SignatureError(f"{path}: is not the file that the key {key.name} signed")
    comment = lines[2].removeprefix(_TRUSTED).rstrip("\r")
    if not is_valid(over_comment, signature + comment.encode(), key.point):
        raise SignatureError(f"{beside}: the comment is not what the key {key.name} signed")
    return comment


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, hashlib.blake2b).digest()
    except OSError as error:
        raise SignatureError(f"{path}: cannot be read: {error.strerror or error}") from error
