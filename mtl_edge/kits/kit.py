"""Write a kit: the model, its manifest, golden vectors, the destination's client, and what is generated for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import msgspec

from mtl_edge.artifact import MANIFEST_FILE, METADATA_KEY, MODEL_FILE, NO_MEANING, Manifest
from mtl_edge.bench.machine import this_machine
from mtl_edge.errors import ModelError, WorkdirError
from mtl_edge.kits.arguments import RowsInGraph, arguments
from mtl_edge.kits.cpp import generate_cpp
from mtl_edge.kits.destinations import EXACT, SHARED
from mtl_edge.kits.goldens import GOLDENS_FOLDER, Goldens, golden_samples, make_goldens
from mtl_edge.kits.kotlin import KOTLIN_FILE, kotlin_types
from mtl_edge.kits.swift import SWIFT_FILE, swift_types
from mtl_edge.kits.typescript import TYPES_FILE, typescript_types
from mtl_edge.preprocessing import Pixels, RawPixels, Table, Tokens
from mtl_edge.runtime import manifest_of, open_session
from mtl_edge.storage import sha256_of, write_folder

KIT_FILE = "kit.json"

_INSTALLED = Path(str(files("mtl_edge"))) / "exporters"
_CHECKOUT = Path(str(files("mtl_edge"))).parent / "exporters"
_GOLDEN_CASES = 4


class KitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What ``kit.json`` says: where the kit goes, and the SHA-256 of every other file in it, by its path."""

    format: int = 1
    destination: str
    files: dict[str, str]


@dataclass(frozen=True)
class Kit:
    """A folder that is ready to be copied."""

    folder: Path
    destination: str
    files: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def write_kit(
    model: Path,
    destination: str,
    folder: Path,
    *,
    data: Path | None = None,
    goldens: int = _GOLDEN_CASES,
    overwrite: bool = False,
) -> Kit:
    """Write a self-contained folder for one destination; it appears as a whole or not at all.

    Args:
        model: an ``.onnx`` with a manifest.
        destination: one of :data:`~mtl_edge.kits.destinations.DESTINATIONS`.
        folder: what to write; it must not exist, be empty, or be a kit that may be overwritten.
        data: an ``.npz`` or folder of ``.npy`` files to take golden vectors from; random samples if not given.
        goldens: how many golden vectors.
        overwrite: replace a kit that is there.

    Raises:
        ModelError: the model cannot be read or has no manifest.
        DataError: the data do not hold what the model reads.
        WorkdirError: something else is in the folder, or it cannot be written.
    """
    _check_free(folder, overwrite)
    session = open_session(model, exact=destination in EXACT)
    manifest = manifest_of(model, session)
    if manifest is None:
        raise ModelError(f"{model}: {NO_MEANING}")
    if manifest.part is not None:
        raise ModelError(f"{model}: must be a whole model, found a {manifest.part}: a kit has one model")
    sealed = session.get_modelmeta().custom_metadata_map[METADATA_KEY]
    made = make_goldens(session, manifest, golden_samples(manifest.inputs, goldens, data))
    content: dict[str, bytes] = {
        MODEL_FILE: model.read_bytes(),
        MANIFEST_FILE: msgspec.json.format(sealed.encode(), indent=2) + b"\n",
        **{f"{GOLDENS_FOLDER}/{name}": array for name, array in made.files.items()},
        **_client(destination),
        **{name: text.encode() for name, text in _generated(destination, manifest, made.goldens).items()},
    }
    record = KitRecord(destination=destination, files={name: sha256_of(part) for name, part in sorted(content.items())})
    content[KIT_FILE] = msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
    write_folder(folder, content)
    return Kit(folder, destination, tuple(sorted(content)), _remarks(manifest, destination))


def _remarks(manifest: Manifest, destination: str) -> tuple[str, ...]:
    """What golden vectors are not, where this box does not compute int8 as the model's target does."""
    if this_machine().target != "x86-avx2" or destination in EXACT or manifest.target in (None, "x86-avx2"):
        return ()
    return (
        f"the model is for {manifest.target}, and golden vectors hold what this box answers, which has no VNNI and may "
        "cut off sums; write the kit on a box of the target's kind",
    )


def _generated(destination: str, manifest: Manifest, goldens: Goldens) -> Mapping[str, str]:
    """What depends on the model: path in the kit -> text."""
    read = arguments(manifest.inputs)
    for item in read:
        if isinstance(item, RowsInGraph) or isinstance(item.preprocessing, Pixels | RawPixels | Table | Tokens):
            continue
        kind = item.preprocessing.__struct_config__.tag
        raise ModelError(f"{manifest.name}: {item.name!r} must be of pixels, a table or texts, found {kind}")
    match destination:
        case "cpp":
            return generate_cpp(manifest, goldens)
        case "node" | "web":
            return {TYPES_FILE: typescript_types(manifest)}
        case "android":
            return {KOTLIN_FILE: kotlin_types(manifest)}
        case "ios":
            return {SWIFT_FILE: swift_types(manifest)}
        case _:
            return {}


def _client(destination: str) -> dict[str, bytes]:
    """The files of ``exporters/<destination>``, and of the folder that it shares with another, by their path in it."""
    exporters = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
    homes = [exporters / name for name in (destination, SHARED.get(destination)) if name is not None]
    return {
        path.relative_to(home).as_posix(): path.read_bytes()
        for home in homes
        for path in sorted(home.rglob("*"))
        if path.is_file() and not {"__pycache__", "node_modules"} & set(path.parts)
    }


def _check_free(folder: Path, overwrite: bool) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / KIT_FILE).is_file():
            raise WorkdirError(f"{folder}: must be a new or empty folder, or a kit, found other files in it")
        if not overwrite:
            raise WorkdirError(f"{folder}: a kit is there already; --overwrite replaces it")
    elif folder.exists() and not folder.is_dir():
        raise WorkdirError(f"{folder}: must be a folder, found a file")
