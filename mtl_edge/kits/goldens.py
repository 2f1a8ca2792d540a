"""Golden vectors: inputs and what the model answered to them here, for a client to try before it trusts a device.

``goldens/goldens.json`` lists cases of one batch each. An array is a file beside it: raw little-endian values in C
order, nothing else, so that any language reads it without a library.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime

from mtl_edge.artifact import Manifest, ModelInput
from mtl_edge.data.splits import load_samples
from mtl_edge.errors import DataError
from mtl_edge.preprocessing import CategoricalColumn, Pixels, Table, Tokens
from mtl_edge.runtime import Session

GOLDENS_FOLDER = "goldens"
GOLDENS_FILE = "goldens.json"
_FORMAT = 1
_FLOAT_TOLERANCE = 1e-4
"""Of an output's largest value. Other kernels sum in another order: 1e-7 is usual, and a wrong model is far beyond."""
_INT8_TOLERANCE = 2.5e-2
"""The same for int8: values that are rounded the other way somewhere move an output by less than that (an output of
8 bits by two of its steps), while kernels that cut off sums, or a wrong model, move it by more."""

_SMALLEST = float(np.finfo(np.float32).tiny)


class GoldenArray(msgspec.Struct, frozen=True, kw_only=True):
    """One array's file; ``dtype`` is numpy's name of it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str


class GoldenOutput(GoldenArray, frozen=True, kw_only=True):
    """What the model answered; a client's answer may differ by ``atol`` at each place."""

    atol: float


class GoldenCase(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the model: raw samples, the network's inputs that preprocessing makes of them, all outputs."""

    raw: tuple[GoldenArray, ...]
    inputs: tuple[GoldenArray, ...]
    outputs: tuple[GoldenOutput, ...]


class Goldens(msgspec.Struct, frozen=True, kw_only=True):
    """What ``goldens.json`` says. ``model_sha256`` is the hash that the model's manifest states."""

    format: int = _FORMAT
    model_sha256: str
    onnxruntime: str = onnxruntime.__version__
    cases: tuple[GoldenCase, ...]


@dataclass(frozen=True)
class GoldenFiles:
    """The description, and the content of every file in the folder of golden vectors, by name."""

    goldens: Goldens
    files: Mapping[str, bytes]


def make_goldens(session: Session, manifest: Manifest, raw: np.ndarray) -> GoldenFiles:
    """Run a model over raw samples, one batch of one sample (or of the model's own size) after the other.

    Args:
        session: the loaded model.
        manifest: of the model.
        raw: samples ``(N, …)`` of the model's one input, as :func:`golden_samples` gives them.
    """
    source = manifest.inputs[0]
    batch = source.shape[0] if isinstance(source.shape[0], int) else 1
    names = [output.name for output in session.get_outputs()]
    runs = []
    for start in range(0, len(raw) - batch + 1, batch):
        part = raw[start : start + batch]
        inputs = source.preprocessing.apply(part)
        runs.append((part, inputs, session.run(names, {source.name: inputs})))
    share = _FLOAT_TOLERANCE if manifest.target is None else _INT8_TOLERANCE
    largest = {name: max(float(np.abs(run[2][at]).max(initial=0)) for run in runs) for at, name in enumerate(names)}
    files: dict[str, bytes] = {}
    cases = []
    for number, (part, inputs, outputs) in enumerate(runs):
        cases.append(
            GoldenCase(
                raw=(_kept(files, f"{number}-raw.bin", source.name, part),),
                inputs=(_kept(files, f"{number}-input.bin", source.name, inputs),),
                outputs=tuple(
                    GoldenOutput(
                        **msgspec.structs.asdict(_kept(files, f"{number}-output-{at}.bin", name, output)),
                        atol=_two_digits(max(share * largest[name], _SMALLEST)),
                    )
                    for at, (name, output) in enumerate(zip(names, outputs, strict=True))
                ),
            )
        )
    goldens = Goldens(model_sha256=manifest.sha256, cases=tuple(cases))
    files[GOLDENS_FILE] = msgspec.json.format(msgspec.json.encode(goldens), indent=2) + b"\n"
    return GoldenFiles(goldens, files)


def golden_samples(source: ModelInput, count: int, data: Path | None = None) -> np.ndarray:
    """Raw samples for golden vectors: the first of a file, or random ones, always the same.

    Args:
        source: the model's input.
        count: how many batches of one sample, or of the model's own size.
        data: an ``.npz`` or a folder of ``.npy`` files with raw samples under the input's name.

    Raises:
        DataError: the file lacks them, or they are not of the dtype and shape that the model reads.
    """
    wanted = count * (source.shape[0] if isinstance(source.shape[0], int) else 1)
    dtype = source.preprocessing.raw_dtype
    if data is None:
        return _random(source, wanted).astype(dtype)
    arrays = load_samples(data).arrays
    if source.name not in arrays:
        raise DataError(f"{data}: must hold {source.name!r}, found {', '.join(arrays)}")
    raw = arrays[source.name][:wanted]
    fixed = [not isinstance(size, int) or size == found for size, found in zip(source.shape, raw.shape, strict=False)]
    if raw.dtype != dtype or raw.ndim != len(source.shape) or not all(fixed[1:]) or len(raw) < wanted:
        raise DataError(
            f"{data}: {source.name!r} must be {dtype} {('samples', *source.shape[1:])} with {wanted} samples or more, "
            f"found {arrays[source.name].dtype} {arrays[source.name].shape}"
        )
    return np.ascontiguousarray(raw)


def _random(source: ModelInput, count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    shape = (count, *(size if isinstance(size, int) else 1 for size in source.shape[1:]))
    match source.preprocessing:
        case Pixels(raw_dtype=raw_dtype) if np.dtype(raw_dtype).kind in "iu":
            limits = np.iinfo(raw_dtype)
            return rng.integers(limits.min, limits.max, shape, np.dtype(raw_dtype).type, endpoint=True)
        case Pixels():
            return rng.standard_normal(shape, np.float32)
        case Table(columns=columns):
            return np.stack(
                [
                    rng.integers(0, len(column.categories) + 1, count)
                    if isinstance(column, CategoricalColumn)
                    else rng.normal(column.mean, column.std, count)
                    for column in columns
                ],
                axis=1,
            )
        case Tokens(ids=ids):
            return rng.integers(0, ids, shape)


def _kept(files: dict[str, bytes], file: str, name: str, array: np.ndarray) -> GoldenArray:
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    files[file] = little.tobytes()
    return GoldenArray(name=name, dtype=array.dtype.name, shape=array.shape, file=file)


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")
