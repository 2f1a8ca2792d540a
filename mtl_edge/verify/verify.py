"""Verify a model's file, or a folder that was exported."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from mtl_edge.artifact import MANIFEST_FILE, METADATA_KEY, MODEL_FILE, Manifest, read_manifest
from mtl_edge.errors import ModelError
from mtl_edge.intake.admit import admit
from mtl_edge.kits.destinations import DESTINATIONS
from mtl_edge.kits.goldens import GOLDENS_FOLDER
from mtl_edge.kits.kit import KIT_FILE, KitRecord
from mtl_edge.optimize.chain import CHAIN_FILE, Chain
from mtl_edge.runtime import manifest_of, open_session
from mtl_edge.signing.keys import PublicKey
from mtl_edge.signing.signature import check_signature, signature_path
from mtl_edge.verify.files import check_files, read_record, read_small
from mtl_edge.verify.goldens import GoldensFound, check_goldens


@dataclass(frozen=True)
class Verified:
    """What was found to be right.

    Attributes:
        manifests: of every model, by its file.
        files: how many stand in the folder's list, all of them as listed; None where there is no list.
        goldens: what became of golden vectors; None where there are none.
        signed: the file whose signature is there, if any.
        signer: what the signature says, once it was checked; None where no key was given.
    """

    manifests: dict[str, Manifest]
    files: int | None = None
    goldens: GoldensFound | None = None
    signed: str | None = None
    signer: str | None = None


def verify(path: Path, key: PublicKey | None = None) -> Verified:
    """Check all that can be checked of a model, or of a folder; nothing of it is trusted before.

    Args:
        path: an ``.onnx``, a folder that ``export`` or ``subset --split`` wrote, or the folder of an artifact.
        key: whose signature must be there.

    Raises:
        ModelError: something is not what was sealed or listed, or the model answers otherwise than it did.
        SignatureError: a key was given, and there is no signature of it, or a wrong one.
    """
    listed = signed_file(path)
    signed, signer = _signature(listed, key)
    if path.is_file():
        return Verified(_sealed(path), signed=signed, signer=signer)
    if listed.name == MODEL_FILE:
        return Verified(_sealed(listed), signed=signed, signer=signer)
    record = KIT_FILE if listed.name == KIT_FILE else CHAIN_FILE
    files = _listed_files(path, record)
    count = check_files(path, files, besides=(record, signature_path(listed).name))
    models = {name: _model(path / name, sealed=record == KIT_FILE) for name in files if name.endswith(".onnx")}
    manifests = {name: manifest for name, manifest in models.items() if manifest is not None}
    goldens = None
    if record == KIT_FILE:
        goldens = check_goldens(path / GOLDENS_FOLDER, open_session(path / MODEL_FILE), manifests[MODEL_FILE])
    return Verified(manifests, files=count, goldens=goldens, signed=signed, signer=signer)


def signed_file(path: Path) -> Path:
    """The one file whose signature stands for all of them: the model itself, or the list of a folder's files.

    Raises:
        ModelError: the folder holds neither a list nor a model.
    """
    if path.is_file():
        return path
    for name in (KIT_FILE, CHAIN_FILE, MODEL_FILE):
        if (path / name).is_file():
            return path / name
    names = ", ".join((KIT_FILE, CHAIN_FILE, MODEL_FILE))
    raise ModelError(f"{path}: must hold one of {names}, found none")


def check_hashes(path: Path) -> None:
    """As :func:`verify`, but without running anything: what a signature is about to stand for must be whole.

    Raises:
        ModelError: something is not what was sealed or listed.
    """
    listed = signed_file(path)
    if listed.name in (KIT_FILE, CHAIN_FILE):
        files = _listed_files(path, listed.name)
        check_files(path, files, besides=(listed.name, signature_path(listed).name))


def _listed_files(folder: Path, record: str) -> dict[str, str]:
    if record == CHAIN_FILE:
        return read_record(folder / record, Chain).files
    kit = read_record(folder / record, KitRecord)
    if kit.destination not in DESTINATIONS or MODEL_FILE not in kit.files or kit.format != 1:
        raise ModelError(f"{folder / record}: must list a kit for {', '.join(DESTINATIONS)}, found {kit.destination!r}")
    return kit.files


def _signature(listed: Path, key: PublicKey | None) -> tuple[str | None, str | None]:
    """First of all: where a key is given, nothing else is read of what its holder did not sign."""
    if key is None:
        return (listed.name if signature_path(listed).is_file() else None), None
    return listed.name, check_signature(listed, key)


def _sealed(path: Path) -> dict[str, Manifest]:
    manifest = _model(path, sealed=True)
    assert manifest is not None
    return {path.name: manifest}


def _model(path: Path, *, sealed: bool) -> Manifest | None:
    """The manifest of a model that is whole, beside which the same manifest stands, if any does.

    Parts of a model that has no manifest have none either; the list of files vouches for them.
    """
    structure = admit(path)
    manifest = read_manifest(path, structure.metadata)
    if manifest is None:
        if sealed:
            raise ModelError(f"{path}: must carry mtl-edge's manifest, which holds its hash, found none")
        return None
    manifest_of(path, open_session(path))
    beside = path.with_name(MANIFEST_FILE)
    if path.name == MODEL_FILE and beside.is_file():
        inside = msgspec.json.format(structure.metadata[METADATA_KEY], indent=2).encode() + b"\n"
        if read_small(beside) != inside:
            raise ModelError(f"{beside}: must be the manifest that is inside of {MODEL_FILE}, found another")
    return manifest
