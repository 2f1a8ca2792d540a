"""An artifact: an ``.onnx`` and its manifest, which travels both beside the file and inside it.

The manifest stands in the model's metadata under :data:`METADATA_KEY`, and is the last thing in the file. That is
valid protobuf wherever it stands, and it lets one file vouch for itself: the manifest's last value is the SHA-256 of
the whole file without these 64 digits. It finds accidents, such as a broken copy or a tool that rewrote the file; it is
no signature. Reading needs no onnx package.

What the graph itself says (opset, names, dtypes and shapes of outputs) is written into the manifest when it is sealed.
Within one format only fields that may be absent are added, so that older manifests stay readable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mtl_edge.errors import ModelError
from mtl_edge.intake.structure import Structure, structure_of
from mtl_edge.intake.wire import encoded_pair
from mtl_edge.preprocessing import Preprocessing, RawCategories, RawNumbers, RawPixels, misfit
from mtl_edge.storage import sha256_of, sha256_of_file, write_atomically
from mtl_edge.tasks import Decoding, Task

METADATA_KEY = "mtl_edge.manifest"
MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
NO_MEANING = (
    "must carry mtl-edge's manifest, which says what its outputs mean, found none; "
    "mtl-edge manifest --tasks gives it one"
)
"""What is wrong with a model from elsewhere where tasks must be known."""
_FORMAT = 1
_DIGITS = 64
_METADATA_FIELD = 14
"""``ModelProto.metadata_props``."""

Sha256 = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")]


class _Format(msgspec.Struct, frozen=True):
    """What every version of the manifest has."""

    format: int


class ModelInput(msgspec.Struct, frozen=True, kw_only=True):
    """The graph's input: a name stands for a dimension that the caller chooses.

    ``layout`` has a letter for each axis: N samples, C channels or columns, H height, W width, T time or words.
    ``reads`` is the data set's array that it is made of, where that has another name.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    preprocessing: Preprocessing
    layout: str | None = None
    reads: str | None = None

    @property
    def array(self) -> str:
        """The data set's array that it is made of."""
        return self.reads or self.name

    @property
    def raw_shape(self) -> tuple[int | str, ...]:
        """Shape of that array."""
        match self.preprocessing:
            case RawPixels() | RawNumbers() | RawCategories() as steps:
                return steps.raw_shape(self.shape)
            case _:
                return self.shape


class ModelOutput(msgspec.Struct, frozen=True, kw_only=True):
    """The output of a task, as it is in the graph: a name stands for a dimension that the caller chooses.

    ``decoding`` is how it is read, see :data:`mtl_edge.tasks.Decoding`.
    """

    task: str
    name: str
    dtype: str
    shape: tuple[int | str, ...]
    decoding: Decoding


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An output in which the graph itself has decoded a task's own output.

    ``meaning`` is what the Python client calls it too: ``label`` and ``probabilities`` (multiclass), ``yes`` and
    ``probability`` (binary), ``labels``, 0 or 1 for each class, and ``probabilities`` (multilabel), ``rank`` and
    ``above`` (ordinal), ``value`` (regression), ``labels`` (segmentation), ``values`` (dense regression).
    """

    task: str
    meaning: str
    output: str
    dtype: str
    shape: tuple[int | str, ...]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics under ONNX Runtime: task name -> metric name -> value."""

    split: str
    samples: int
    values: dict[str, dict[str, float]]


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model comes from: the steps since the untrained network, and the hashes that identify its makers.

    Nobody knows that of a model from elsewhere, which was given a manifest by the step ``describe``: the hashes of
    recipe and data are empty, the seed is 0, and ``parent_sha256`` is that of the file before, if there was one.
    """

    recipe_sha256: str
    data_sha256: str
    seed: int
    steps: tuple[str, ...]
    parent: str | None = None
    parent_sha256: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client must know to use a model, and a reviewer to trust it.

    Every task's ``name`` is the name of its output ``(batch, width)``. ``sha256`` is that of the model's file without
    these digits, and the last field, because the file ends with it. ``metrics`` are None where nobody has measured
    them; ``target`` is the kind of processor that an int8 model is made for; ``sparse`` is the pattern of weights that
    a mask has set to zero: ``2:4`` where 2 of 4 stay, ``0.8`` where that share of them leaves. ``outputs``, ``opset``
    and ``ir_version`` are what the graph says; ``runtime`` is the ONNX Runtime that has run it. ``part`` tells the
    trunk and the heads of a model that was split from one that is whole. ``answers`` are further outputs, in which the
    graph decodes those of the tasks; none where that is left to the client. ``files`` are those beside the model that
    belong to it, with their SHA-256: weights that are not in the model's own file, other forms of it.
    """

    format: int = _FORMAT
    name: str
    variant: str
    tasks: tuple[Task, ...]
    inputs: tuple[ModelInput, ...]
    outputs: tuple[ModelOutput, ...] = ()
    answers: tuple[Answer, ...] = ()
    metrics: Measured | None = None
    lineage: Lineage
    parameters: int
    opset: int
    ir_version: int | None = None
    versions: dict[str, str]
    runtime: str | None = None
    target: str | None = None
    sparse: str | None = None
    part: Literal["trunk", "head"] | None = None
    files: dict[str, Sha256] = {}
    sha256: Sha256 = ""


@dataclass(frozen=True)
class Artifact:
    """A model file and what its manifest says."""

    path: Path
    manifest: Manifest


def write_artifact(folder: Path, model: bytes, manifest: Manifest) -> Artifact:
    """Write ``model.onnx`` with the manifest inside, and ``manifest.json`` beside it."""
    content, sealed = seal(model, manifest)
    write_atomically(folder / MODEL_FILE, content)
    write_atomically(folder / MANIFEST_FILE, msgspec.json.format(msgspec.json.encode(sealed), indent=2) + b"\n")
    return Artifact(folder / MODEL_FILE, sealed)


def seal(model: bytes, manifest: Manifest, folder: Path | None = None) -> tuple[bytes, Manifest]:
    """The content of a model's file with the manifest inside, and the manifest as it is there.

    That has the content's SHA-256, and what the graph says of itself.

    Args:
        model: serialized.
        manifest: what else is true of it.
        folder: where the weights are that are not in the model; None where all of them are.

    Raises:
        ModelError: the model is no ONNX model.
    """
    described = _described(manifest, structure_of(model, folder=folder))
    blank = msgspec.structs.replace(described, sha256="0" * _DIGITS)
    entry = encoded_pair(_METADATA_FIELD, METADATA_KEY.encode(), msgspec.json.encode(blank))
    before, after = _around_digits(model + entry)
    sealed = msgspec.structs.replace(described, sha256=sha256_of(before, after))
    return before + sealed.sha256.encode() + after, sealed


def child_of(parent: Manifest, form: str, step: str, target: str | None) -> Manifest:
    """What is true of a model that was made of another by one step; nobody has measured it yet.

    Args:
        parent: the other model's manifest.
        form: ends the name of the variant.
        step: what was done, for the lineage.
        target: the kind of processor that it is for; None means all.
    """
    return msgspec.structs.replace(
        parent,
        variant=f"{parent.variant}-{form}",
        metrics=None,
        runtime=version("onnxruntime"),
        target=target,
        lineage=msgspec.structs.replace(
            parent.lineage,
            steps=(*parent.lineage.steps, step),
            parent=parent.variant,
            parent_sha256=parent.sha256,
        ),
    )


def read_manifest(path: Path, metadata: Mapping[str, str]) -> Manifest | None:
    """The manifest from a model's metadata, or None when it has none.

    Raises:
        ModelError: the manifest is damaged, or the file is not the one that was written.
    """
    text = metadata.get(METADATA_KEY)
    if text is None:
        return None
    manifest = parse_manifest(text, place=f"{path}: manifest")
    content = path.read_bytes()
    if not content.endswith(text.encode()) or sha256_of(*_around_digits(content)) != manifest.sha256:
        raise ModelError(f"{path}: the file must have the SHA-256 that its manifest names: it was changed after export")
    for name in structure_of(content, str(path), path.parent).external:
        if manifest.files.get(name) != sha256_of_file(path.parent / name):
            raise ModelError(f"{path.parent / name}: must be the weights that were exported with {path.name}")
    return manifest


def parse_manifest(text: str | bytes, place: str) -> Manifest:
    """Read a manifest's JSON.

    Raises:
        ModelError: it is not JSON, lacks a field, or is of a format that this version does not know.
    """
    try:
        version = msgspec.json.decode(text, type=_Format).format
        if version != _FORMAT:
            raise ModelError(f"{place}: format must be {_FORMAT}, found {version}: another mtl-edge wrote it")
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{place}: is not a readable manifest: {error}") from error
    for item in manifest.inputs:
        if fault := misfit(item.preprocessing, item.shape):
            raise ModelError(f"{place}: input {item.name!r}: {fault}")
    names = [*(task.name for task in manifest.tasks), *(answer.output for answer in manifest.answers)]
    for kind, named in (("inputs", [item.name for item in manifest.inputs]), ("outputs", names)):
        if len(set(named)) < len(named):
            raise ModelError(f"{place}: {kind} must have names of their own, found {', '.join(named)}")
    return manifest


def _around_digits(content: bytes) -> tuple[bytes, bytes]:
    """What stands before the digits of the file's SHA-256, and the ``"}`` behind them."""
    return content[: -_DIGITS - 2], content[-2:]


def _described(manifest: Manifest, structure: Structure) -> Manifest:
    """The manifest with what the graph says of itself."""
    tasks = {task.name: task for task in manifest.tasks}
    return msgspec.structs.replace(
        manifest,
        opset=structure.opset or manifest.opset,
        ir_version=structure.ir_version,
        inputs=tuple(
            msgspec.structs.replace(item, layout=item.layout or item.preprocessing.layout(len(item.shape)))
            for item in manifest.inputs
        ),
        outputs=tuple(
            ModelOutput(
                task=output.name,
                name=output.name,
                dtype=output.dtype or "",
                shape=tuple(f"axis_{axis}" if size is None else size for axis, size in enumerate(output.shape or ())),
                decoding=tasks[output.name].decoding,
            )
            for output in structure.outputs
            if output.name in tasks
        ),
    )
