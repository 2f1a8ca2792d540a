"""Export a model: the graph changed as asked, other forms of it, and the proof that all of them compute the same."""

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import onnx

from mtl_edge.artifact import MANIFEST_FILE, METADATA_KEY, MODEL_FILE, Manifest, child_of, seal
from mtl_edge.errors import ParityError, WorkdirError
from mtl_edge.export.edit import opset_of
from mtl_edge.export.external import DATA_SUFFIX, LARGEST_BYTES, split_weights
from mtl_edge.export.graph_steps import GraphOptions, change_graph
from mtl_edge.export.hops import Hop, check_hop, require, spent_by
from mtl_edge.export.mobile import Accelerator, check_mobile
from mtl_edge.export.ort_format import OrtFile, Platform, Style, convert_to_ort
from mtl_edge.export.runtimes import oldest_reader
from mtl_edge.export.samples import Comparison, samples_for
from mtl_edge.quantize.source import read_source
from mtl_edge.runtime import open_session
from mtl_edge.storage import sha256_of, write_atomically, write_folder

REPORT_FILE = "export.json"
WEIGHTS_FILE = f"{MODEL_FILE}{DATA_SUFFIX}"
_AS_IT_IS = GraphOptions()


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What is written, beside what :class:`~mtl_edge.export.graph_steps.GraphOptions` says of the graph.

    Attributes:
        graph: what becomes of the graph.
        external_bytes: a larger model has its weights in a file of their own.
        ort: for which processors an ``.ort`` is written.
        styles: in which forms.
        reduce_types: list the types of operators, too, for a smaller build of the runtime.
        mobile: ask what phones' accelerators could run.
        earlier: earlier forms of the model, the first one first, which each next one is compared to.
        data: samples to compare on; with labels, tasks' metrics are compared too.
        strict: a warning is an error.
        overwrite: replace an export that is there.
    """

    graph: GraphOptions = _AS_IT_IS
    external_bytes: int = LARGEST_BYTES
    ort: tuple[Platform, ...] = ()
    styles: tuple[Style, ...] = ("fixed",)
    reduce_types: bool = False
    mobile: bool = False
    earlier: tuple[Path, ...] = ()
    data: Path | None = None
    strict: bool = False
    overwrite: bool = False


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What was written and found; ``export.json`` says it.

    Attributes:
        steps: what was done to the graph.
        opset, ir_version: of the model.
        oldest_runtime: the oldest ONNX Runtime that reads these.
        hops: every comparison, in the order of the model's way.
        accelerators: of phones, if they were asked for.
        remarks: what to know of a file, such as where it is slow or does not load.
        warnings: hops that do not hold, and may be wanted so.
        files: name -> size in bytes.
    """

    steps: tuple[str, ...]
    opset: int
    ir_version: int
    oldest_runtime: str
    hops: tuple[Hop, ...]
    accelerators: tuple[Accelerator, ...] = ()
    remarks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    files: dict[str, int] = {}


@dataclass(frozen=True)
class Source:
    """A model to export.

    Attributes:
        content: serialized, its weights inside, without a manifest.
        manifest: what it said of itself, if mtl-edge made it.
        feeds: inputs to compare on, of a model that was just traced with them.
        hops: how it came to be.
    """

    content: bytes
    manifest: Manifest | None
    feeds: Mapping[str, np.ndarray] | None = None
    hops: tuple[Hop, ...] = ()


@dataclass
class _Found:
    """What is known so far."""

    hops: list[Hop] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    content: dict[str, bytes] = field(default_factory=dict)


def read_model(path: Path) -> Source:
    """A model's file as the source of an export.

    Raises:
        ModelError: it cannot be read.
    """
    _, content, manifest = read_source(path)
    return Source(_bare(content), manifest)


def export_folder(source: Source, folder: Path, options: ExportOptions) -> Exported:
    """Write ``model.onnx``, its manifest, other forms of it and ``export.json``; as a whole or not at all.

    Args:
        source: the model.
        folder: what to write; it must not exist, be empty, or be an export that may be overwritten.
        options: what to write.

    Raises:
        ModelError: a step cannot be done.
        ParityError: a form computes something else; if strict, also one that rounds and moves an output too far.
        DataError: the samples do not fit the model.
        WorkdirError: something else is in the folder, or it cannot be written.
    """
    _check_free(folder, overwrite=options.overwrite)
    found = _Found(hops=list(source.hops))
    session = open_session(source.content)
    batch = options.graph.batch
    samples = samples_for(
        session,
        source.manifest,
        options.data,
        batch=batch if isinstance(batch, int) else None,
        feeds=source.feeds,
    )
    _check_earlier(source, options, samples, found)
    changed = change_graph(source.content, source.manifest, options.graph)
    outputs = samples.outputs(open_session(changed.model), changed.manifest)
    hop = check_hop("model -> export", samples.outputs(session, source.manifest), outputs)
    found.hops.append(require(hop))
    for platform in dict.fromkeys(options.ort):
        for style in dict.fromkeys(options.styles):
            made = convert_to_ort(changed.model, platform, style, reduce_types=options.reduce_types)
            _add_ort(made, samples, changed.manifest, outputs, found)
    accelerators = check_mobile(changed.model) if options.mobile else ()
    if options.strict and found.warnings:
        raise ParityError(found.warnings[0])
    manifest = _described(source.manifest, changed.manifest, changed.steps, hop)
    _add_model(changed.model, manifest, options.external_bytes, found)
    proto = onnx.load_from_string(found.content[MODEL_FILE])
    report = Exported(
        steps=changed.steps,
        opset=opset_of(proto),
        ir_version=proto.ir_version,
        oldest_runtime=oldest_reader(opset_of(proto), proto.ir_version),
        hops=tuple(found.hops),
        accelerators=accelerators,
        remarks=tuple(dict.fromkeys(found.remarks)),
        warnings=tuple(found.warnings),
        files={name: len(part) for name, part in sorted(found.content.items())},
    )
    found.content[REPORT_FILE] = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
    write_folder(folder, found.content)
    return report


def _check_earlier(source: Source, options: ExportOptions, samples: Comparison, found: _Found) -> None:
    """Compare each earlier form to the next one, and the last one to the source; rounding may move outputs."""
    sessions = []
    for path in options.earlier:
        session, _, manifest = read_source(path)
        sessions.append((str(path), session, manifest))
    sessions.append(("model", open_session(source.content), source.manifest))
    for (name, before, known), (next_name, after, next_known) in itertools.pairwise(sessions):
        losses = samples.metrics(before, known), samples.metrics(after, next_known)
        tasks = source.manifest.tasks if source.manifest is not None else ()
        spent = spent_by(tasks, losses[0], losses[1]) if losses[0] is not None and losses[1] is not None else ()
        hop = check_hop(
            f"{name} -> {next_name}",
            samples.outputs(before, known),
            samples.outputs(after, next_known),
            rounds=True,
            spent=spent,
        )
        found.hops.append(hop)
        if not hop.holds:
            found.warnings.append(hop.describe())


def _add_ort(
    made: OrtFile, samples: Comparison, manifest: Manifest | None, outputs: Mapping[str, np.ndarray], found: _Found
) -> None:
    answers = samples.outputs(open_session(made.content), manifest)
    hop = check_hop(f"export -> {made.name}", outputs, answers, rounds=made.int8)
    found.hops.append(hop)
    if not hop.holds:
        found.warnings.append(hop.describe())
    found.remarks += [f"{made.name}: {warning}" for warning in made.warnings]
    found.content[made.name] = made.content
    found.content[made.config_name] = made.config.encode()


def _described(parent: Manifest | None, manifest: Manifest | None, steps: Sequence[str], hop: Hop) -> Manifest | None:
    """The manifest of what is written; metrics stay true where no output moved by a bit."""
    if parent is None or manifest is None or not steps:
        return manifest
    child = child_of(manifest, "export", ", ".join(steps), manifest.target)
    return msgspec.structs.replace(child, metrics=parent.metrics if hop.exact else None, runtime=version("onnxruntime"))


def _add_model(model: bytes, manifest: Manifest | None, external_bytes: int, found: _Found) -> None:
    if len(model) > external_bytes:
        split = split_weights(model, WEIGHTS_FILE)
        model, found.content[WEIGHTS_FILE] = split.model, split.weights
    if manifest is not None:
        files = {name: sha256_of(part) for name, part in sorted(found.content.items())}
        with tempfile.TemporaryDirectory(prefix="mtl-edge-") as scratch:
            if WEIGHTS_FILE in found.content:
                write_atomically(Path(scratch) / WEIGHTS_FILE, found.content[WEIGHTS_FILE])
            model, sealed = seal(model, msgspec.structs.replace(manifest, files=files), Path(scratch))
        found.content[MANIFEST_FILE] = msgspec.json.format(msgspec.json.encode(sealed), indent=2) + b"\n"
    found.content[MODEL_FILE] = model


def _bare(content: bytes) -> bytes:
    """The model without a manifest inside."""
    proto = onnx.load_from_string(content)
    for entry in [entry for entry in proto.metadata_props if entry.key == METADATA_KEY]:
        proto.metadata_props.remove(entry)
    return bytes(proto.SerializeToString())


def _check_free(folder: Path, *, overwrite: bool) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / REPORT_FILE).is_file():
            raise WorkdirError(f"{folder}: must be a new or empty folder, or an export, found other files in it")
        if not overwrite:
            raise WorkdirError(f"{folder}: an export is there already; --overwrite replaces it")
    elif folder.exists() and not folder.is_dir():
        raise WorkdirError(f"{folder}: must be a folder, found a file")
