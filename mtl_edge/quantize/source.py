"""An fp32 model and what calibration saw of it: where quantizing and judging its layers both begin."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from mtl_edge.artifact import Manifest
from mtl_edge.data.archive import unpack_npz
from mtl_edge.data.splits import Samples, load_samples
from mtl_edge.errors import ModelError, last_words
from mtl_edge.preprocessing import Preprocessing, RawCategories, RawNumbers, RawPixels
from mtl_edge.progress import progress_bar, spinner
from mtl_edge.quantize.calibrate import calibrate, samples_of_a_batch
from mtl_edge.quantize.data import CalibrationData, calibration_data, fixed_batch
from mtl_edge.quantize.equalize import equalize
from mtl_edge.quantize.narrow import ChannelEnds
from mtl_edge.quantize.observe import Observer
from mtl_edge.quantize.prepare import prepare
from mtl_edge.quantize.statistics import load_statistics, save_statistics
from mtl_edge.runtime import manifest_of, open_session
from mtl_edge.storage import sha256_of


@dataclass(frozen=True)
class CalibratedSource:
    """What there is to quantize.

    Attributes:
        session: the fp32 model, loaded.
        manifest: what its outputs mean, if mtl-edge made it.
        prepared: see :func:`mtl_edge.quantize.prepare.prepare`; refined, once that is done.
        data: the samples of the calibration.
        observed: tensor name -> what was seen of it.
        fresh: false where that was kept from an earlier calibration.
        pinned: weight -> the axis of its channels and each one's largest magnitude, where it is rounded already.
        targets: task -> the targets of all samples that there are, not only of those that were drawn; maybe of none.
    """

    session: onnxruntime.InferenceSession
    manifest: Manifest | None
    prepared: bytes
    data: CalibrationData
    observed: Mapping[str, Observer]
    fresh: bool
    pinned: Mapping[str, ChannelEnds] = field(default_factory=dict)
    targets: Mapping[str, np.ndarray] = field(default_factory=dict)


@contextlib.contextmanager
def calibrated_source(
    path: Path,
    calibration: Path,
    *,
    samples: int,
    batch_size: int,
    seed: int,
    folder: Path | None,
    equalized: bool = False,
) -> Iterator[CalibratedSource]:
    """Read a model, and calibrate it; within, the samples can be read again.

    Args:
        path: an fp32 ``.onnx``.
        calibration: an ``.npz``, or a folder of ``.npy`` files.
        samples: how many to draw.
        batch_size: most samples of one batch, where the graph leaves it open.
        seed: of the draw.
        folder: where what was seen is kept for the next time; None keeps nothing.
        equalized: whether the model's channels are scaled first, see :mod:`mtl_edge.quantize.equalize`.

    Raises:
        ModelError: the model cannot be read, or is quantized already.
        DataError: the calibration data does not fit.
    """
    session, content, manifest = read_source(path)
    if manifest is not None and (manifest.answers or any(_in_graph(item.preprocessing) for item in manifest.inputs)):
        raise ModelError(
            f"{path}: must be quantized before it preprocesses or decodes in the graph, found it exported so: quantize "
            "the model that it was made of"
        )
    with arrays_of(calibration) as arrays:
        data = calibration_data(
            session.get_inputs(), arrays.arrays, manifest, samples=samples, batch_size=batch_size, seed=seed
        )
        tasks = manifest.tasks if manifest is not None else ()
        targets = {task.name: arrays.arrays[task.target] for task in tasks if task.target in arrays.arrays}
        known = calibrated(session, content, manifest, data, folder=folder, equalized=equalized)
        yield replace(known, targets=targets)


def read_source(path: Path) -> tuple[onnxruntime.InferenceSession, bytes, Manifest | None]:
    """A model loaded, its content as one file, and its manifest if mtl-edge made it.

    Raises:
        ModelError: it cannot be read.
    """
    session = open_session(path)
    return session, read_content(path), manifest_of(path, session)


def read_content(path: Path) -> bytes:
    """A model's content as one file, with the weights that stand in files of their own.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        return bytes(onnx.load(path).SerializeToString())
    except Exception as error:  # protobuf's own exception types are not public
        raise ModelError(f"{path}: cannot be read as one model: {last_words(error)}") from error


def calibrated(
    session: onnxruntime.InferenceSession,
    content: bytes,
    manifest: Manifest | None,
    data: CalibrationData,
    *,
    folder: Path | None,
    equalized: bool,
) -> CalibratedSource:
    """Calibrate a model that is loaded already, in smaller batches where its activations are many.

    Arguments are as of :class:`CalibratedSource`.
    """
    with spinner("prepare"):
        prepared = equalize(prepare(content)) if equalized else prepare(content)
    if fixed_batch(session.get_inputs()) is None:
        data = replace(data, batch_size=samples_of_a_batch(prepared, data.batch_size))
    observed, fresh = _observe(prepared, data, folder)
    return CalibratedSource(session, manifest, prepared, data, observed, fresh)


@contextlib.contextmanager
def arrays_of(path: Path) -> Iterator[Samples]:
    """The arrays of an ``.npz``, or of a folder of ``.npy`` files, as mapped files.

    Raises:
        DataError: they cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as scratch:
        yield load_samples(path) if path.is_dir() else unpack_npz(path, Path(scratch) / "arrays")


def _in_graph(steps: Preprocessing) -> bool:
    """Whether the graph preprocesses."""
    return isinstance(steps, RawNumbers | RawCategories) or (isinstance(steps, RawPixels) and not steps.as_it_is)


def _observe(prepared: bytes, data: CalibrationData, folder: Path | None) -> tuple[Mapping[str, Observer], bool]:
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
