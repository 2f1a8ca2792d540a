"""From one ``.onnx`` file to another form that needs no calibration, with what that gives on this box."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime

from mtl_edge.artifact import Manifest, child_of, seal
from mtl_edge.bench.compressed import LEVEL
from mtl_edge.bench.inputs import random_inputs
from mtl_edge.bench.machine import TargetName
from mtl_edge.compress.pattern import Pattern
from mtl_edge.errors import DataError, last_words
from mtl_edge.progress import spinner
from mtl_edge.quantize.audit import Audit, audit
from mtl_edge.quantize.data import calibration_data
from mtl_edge.quantize.forms import DEFAULT_PATTERN, FormName, in_form
from mtl_edge.quantize.noise import output_noise
from mtl_edge.quantize.race import latency_ratio
from mtl_edge.quantize.source import arrays_of, read_source
from mtl_edge.quantize.target import find_target, this_target
from mtl_edge.runtime import open_session
from mtl_edge.storage import write_atomically

_STEPS = {
    "dynamic": "dynamic int8",
    "weights": "8-bit weights",
    "weights4": "4-bit weights",
    "fp16": "fp16 weights",
}

_GAIN = 0.9
"""Share of the latency that a less exact way to write a form must leave at most."""


class Zeros(msgspec.Struct, frozen=True, kw_only=True):
    """The pattern of zeros among the weights, and the sizes of the compressed files before and after."""

    pattern: str
    source_bytes: int
    file_bytes: int


class Converted(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    ``latency_ratio`` is that to the fp32 model on this box, with one thread. ``noise_db`` is, for each output, the
    power of the fp32 answers' spread over that of the difference, in decibels, on a batch of ``samples``; empty where
    there are none. ``target`` is None where the form is the same for all. ``sparse`` is there only of that form.
    """

    form: FormName
    path: str
    target: TargetName | None
    samples: int
    latency_ratio: float
    noise_db: dict[str, float]
    remarks: tuple[str, ...]
    audit: Audit
    source_bytes: int
    file_bytes: int
    sparse: Zeros | None = None


def convert_file(
    source: Path,
    output: Path,
    form: FormName,
    *,
    measured_on: Path | None = None,
    target: TargetName | None = None,
    pattern: Pattern = DEFAULT_PATTERN,
    samples: int = 512,
    batch_size: int = 32,
    seed: int = 0,
) -> Converted:
    """Write a model in another form; of a model that mtl-edge made, with a manifest that names its parent.

    Args:
        source: an fp32 ``.onnx``.
        output: the file to write.
        form: which.
        measured_on: an ``.npz``, or a folder of ``.npy`` files, with an array for each input, to measure noise and
            latency on; None measures latency alone, on random inputs.
        target: the kind of processor that will run it; None means this box.
        pattern: of the zeros of ``sparse``.
        samples: how many of those samples to draw.
        batch_size: samples of one batch, where the graph leaves it open.
        seed: of the draw.

    Raises:
        ModelError: the model cannot be read, is quantized already, has nothing that could have this form, or computes
            nothing finite in it.
        DataError: the samples do not fit, or the model cannot compute random inputs.
        WorkdirError: the output cannot be written.
    """
    session, content, manifest = read_source(source)
    profile = find_target(target or this_target())
    with spinner(f"write as {form}"):
        ways = in_form(content, form, profile, pattern)
    batch, remarks = (
        (_random_batch(session, source), ())
        if measured_on is None
        else _drawn_batch(session, measured_on, manifest, samples, batch_size, seed)
    )
    with spinner("measure what it gives"):
        model = _fastest(ways, batch)
        ratio = latency_ratio(content, model, batch)
        noise = output_noise(session, open_session(model), batch) if measured_on is not None else {}
        audited = audit(model)
    made_for = profile.name if form == "dynamic" else None
    written = model
    if manifest is not None:
        step = f"sparsify {pattern}" if form == "sparse" else _STEPS[form]
        child = child_of(manifest, form, step, made_for)
        sparse = str(pattern) if form == "sparse" else manifest.sparse
        written, _ = seal(model, msgspec.structs.replace(child, opset=_opset(model), sparse=sparse))
    write_atomically(output, written)
    return Converted(
        form=form,
        path=str(output),
        target=made_for,
        samples=0 if measured_on is None else len(next(iter(batch.values()))),
        latency_ratio=ratio,
        noise_db=noise,
        remarks=remarks,
        audit=audited,
        source_bytes=len(content),
        file_bytes=len(written),
        sparse=_zeros(pattern, content, written) if form == "sparse" else None,
    )


def _zeros(pattern: Pattern, before: bytes, after: bytes) -> Zeros:
    sizes = [len(zlib.compress(content, LEVEL)) for content in (before, after)]
    return Zeros(pattern=str(pattern), source_bytes=sizes[0], file_bytes=sizes[1])


def _drawn_batch(
    session: onnxruntime.InferenceSession,
    path: Path,
    manifest: Manifest | None,
    samples: int,
    batch_size: int,
    seed: int,
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """A batch of samples, and what all that were drawn do not show."""
    with arrays_of(path) as arrays:
        inputs = session.get_inputs()
        data = calibration_data(inputs, arrays.arrays, manifest, samples=samples, batch_size=batch_size, seed=seed)
        batch = next(iter(data), None)
    if batch is None:
        raise DataError(f"{path}: must have at least one sample, found none")
    return batch, data.remarks


def _random_batch(session: onnxruntime.InferenceSession, path: Path) -> dict[str, np.ndarray]:
    """One random sample, that the model can compute."""
    batch = random_inputs(session.get_inputs(), batch=1, dims={}, place=str(path))
    try:
        session.run(None, batch)
    except Exception as error:  # the runtime's own exception types are not public
        raise DataError(
            f"{path}: cannot compute random inputs: {last_words(error)}; give samples with --calib"
        ) from error
    return batch


def _fastest(ways: tuple[bytes, ...], batch: Mapping[str, np.ndarray]) -> bytes:
    """The first of them, or one that is clearly faster here: those that come later are less exact."""
    best, *others = ways
    for way in others:
        if latency_ratio(best, way, batch) < _GAIN:
            best = way
    return best


def _opset(model: bytes) -> int:
    opsets = {entry.domain: int(entry.version) for entry in onnx.load_from_string(model).opset_import}
    return max(opsets.get("", 0), opsets.get("ai.onnx", 0))
