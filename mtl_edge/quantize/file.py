"""From one ``.onnx`` file to another: the whole of quantization, on any model."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime

from mtl_edge.artifact import Manifest, seal
from mtl_edge.data.archive import unpack_npz
from mtl_edge.data.splits import Samples, load_samples
from mtl_edge.errors import ModelError
from mtl_edge.progress import progress_bar, spinner
from mtl_edge.quantize.audit import Audit, audit
from mtl_edge.quantize.calibrate import calibrate
from mtl_edge.quantize.data import CalibrationData, calibration_data
from mtl_edge.quantize.narrow import Narrowed
from mtl_edge.quantize.noise import WithoutVnni, output_noise, without_vnni
from mtl_edge.quantize.observe import Observer
from mtl_edge.quantize.ranges import Method, find_ranges
from mtl_edge.quantize.static import PlacementName, find_narrowing, place, prepare
from mtl_edge.quantize.statistics import load_statistics, save_statistics
from mtl_edge.quantize.target import TargetName, find_target, this_target
from mtl_edge.runtime import manifest_of, open_session
from mtl_edge.storage import sha256_of, write_atomically


class Quantized(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    ``noise_db`` is, for each output, the power of the fp32 answers' spread over that of the difference, in decibels,
    on a batch of the calibration samples: 20 dB are a tenth of the spread. ``calibrated`` is false where the statistics
    of an earlier calibration were used again. ``latency_ratio`` is that to the fp32 model on this box, with one thread,
    where the placement was measured; ``trials`` is how many placements were. ``narrowed`` are the layers whose weights
    do not use all of their 8 bits; ``without_vnni`` is what a model for ``x86-vnni`` would give on a processor that
    lacks it.
    """

    path: str
    target: TargetName
    method: Method
    samples: int
    calibrated: bool
    latency_ratio: float | None
    trials: int
    source_bytes: int
    file_bytes: int
    noise_db: dict[str, float]
    remarks: tuple[str, ...]
    audit: Audit
    narrowed: tuple[Narrowed, ...] = ()
    without_vnni: WithoutVnni | None = None


@dataclass(frozen=True)
class _Source:
    """The fp32 model that was read."""

    content: bytes
    session: onnxruntime.InferenceSession
    manifest: Manifest | None


def quantize_file(
    source: Path,
    calibration: Path,
    output: Path,
    *,
    method: Method = "minmax",
    target: TargetName | None = None,
    placement: PlacementName | None = None,
    samples: int = 512,
    batch_size: int = 32,
    seed: int = 0,
    cache: Path | None = None,
) -> Quantized:
    """Write a static int8 model; of a model that mtl-edge made, with a manifest that names its parent.

    Args:
        source: an fp32 ``.onnx``.
        calibration: an ``.npz``, or a folder of ``.npy`` files, with an array for each input; where targets of the
            model's tasks are there too, samples are drawn so that every class is among them.
        output: the file to write.
        method: how ranges are taken from what was seen.
        target: the kind of processor that will run it; None means this box.
        placement: what goes to int8: ``all`` that has a kernel; or as ``measured`` on this box, what makes the model
            faster, which is also what None means where this box is of the target's kind.
        samples: how many samples to calibrate with.
        batch_size: samples of one batch, where the graph leaves it open.
        seed: of the draw.
        cache: folder where what calibration saw and what was measured are kept for the next time; None keeps nothing.

    Raises:
        ModelError: the model cannot be read or is quantized already, or its int8 form computes nothing finite.
        DataError: the calibration data does not fit.
        WorkdirError: the output cannot be written.
    """
    model = _read(source)
    profile = find_target(target or this_target())
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as scratch:
        data = calibration_data(
            model.session.get_inputs(),
            _arrays(calibration, Path(scratch) / "calibration").arrays,
            model.manifest,
            samples=samples,
            batch_size=batch_size,
            seed=seed,
        )
        with spinner("prepare"):
            prepared = prepare(model.content)
        observed, calibrated = _observe(prepared, data, cache and cache / "calibration")
        if placement is None:
            placement = "measured" if profile.name == this_target() else "all"
        with spinner("quantize, and measure what is faster so"):
            ranges, batch = find_ranges(observed, method), next(iter(data))
            placed = place(prepared, ranges, profile, placement, batch, cache and cache / "placements")
        with spinner("look at what came of it"):
            int8 = placed.model
            noise = output_noise(model.session, open_session(int8), batch)
            elsewhere = without_vnni(model.session, int8, batch) if profile.name == "x86-vnni" else None
            found = audit(int8)
    content = int8
    if model.manifest is not None:
        content, _ = seal(int8, _child(model.manifest, profile.name))
    write_atomically(output, content)
    return Quantized(
        path=str(output),
        target=profile.name,
        method=method,
        samples=len(data.positions),
        calibrated=calibrated,
        latency_ratio=placed.latency_ratio,
        trials=placed.trials,
        source_bytes=source.stat().st_size,
        file_bytes=len(content),
        noise_db=noise,
        remarks=data.remarks,
        audit=found,
        narrowed=find_narrowing(prepared, profile, placed.kept).layers,
        without_vnni=elsewhere,
    )


def _read(path: Path) -> _Source:
    session = open_session(path)
    try:
        content = onnx.load(path).SerializeToString()  # with the weights that stand in files of their own
    except Exception as error:  # protobuf's own exception types are not public
        raise ModelError(f"{path}: cannot be read as one model: {error}") from error
    return _Source(content, session, manifest_of(path, session))


def _arrays(path: Path, scratch: Path) -> Samples:
    return load_samples(path) if path.is_dir() else unpack_npz(path, scratch)


def _observe(prepared: bytes, data: CalibrationData, folder: Path | None) -> tuple[dict[str, Observer], bool]:
    """What calibration sees, from the file that keeps it or from a pass over the data."""
    kept = folder / f"{sha256_of(prepared, data.sha256.encode())}.npz" if folder is not None else None
    if kept is not None and (known := load_statistics(kept)) is not None:
        return known, False
    with progress_bar("calibrate", total=len(data)) as bar:

        def watched() -> Iterator[Mapping[str, np.ndarray]]:
            for batch in data:
                yield batch
                bar.advance()

        observed = calibrate(prepared, watched())
    if kept is not None:
        save_statistics(kept, observed)
    return observed, True


def _child(parent: Manifest, target: TargetName) -> Manifest:
    return msgspec.structs.replace(
        parent,
        variant=f"{parent.variant}-int8",
        metrics=None,
        target=target,
        lineage=msgspec.structs.replace(
            parent.lineage,
            steps=(*parent.lineage.steps, "static int8"),
            parent=parent.variant,
            parent_sha256=parent.sha256,
        ),
    )
