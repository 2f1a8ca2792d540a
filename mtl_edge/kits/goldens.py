"""Golden vectors: inputs and what the model answered to them here, for a client to try before it trusts a device.

``goldens/goldens.json`` lists cases of one batch each. An array is a file beside it: raw little-endian values in C
order, nothing else, so that any language reads it without a library; texts are UTF-8, each with a zero byte behind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime

from mtl_edge.artifact import Manifest, ModelInput
from mtl_edge.data.splits import load_samples
from mtl_edge.errors import DataError, ModelError
from mtl_edge.preprocessing import (
    CategoricalColumn,
    Features,
    NumericColumn,
    Pixels,
    Preprocessing,
    RawCategories,
    RawNumbers,
    RawPixels,
    Table,
    Tokens,
)
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
    """One run of the model: raw samples, the graph's inputs that preprocessing makes of them, all outputs.

    Both have one array for each input, by its name. Where the graph preprocesses by itself, raw samples are its inputs.
    """

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


def make_goldens(session: Session, manifest: Manifest, raw: Mapping[str, np.ndarray]) -> GoldenFiles:
    """Run a model over raw samples, one batch of one sample (or of the model's own size) after the other.

    Args:
        session: the loaded model.
        manifest: of the model.
        raw: samples ``(N, …)`` of each array that inputs are made of, as :func:`golden_samples` gives them.
    """
    batch = samples_at_a_time(manifest.inputs) or 1
    names = [output.name for output in session.get_outputs()]
    runs = []
    for start in range(0, len(raw[manifest.inputs[0].array]) - batch + 1, batch):
        given, inputs = {}, {}
        for item in manifest.inputs:
            part = raw[item.array][start : start + batch]
            inputs[item.name] = item.preprocessing.apply(part)
            in_graph = isinstance(item.preprocessing, RawPixels | RawNumbers | RawCategories)
            given[item.name] = inputs[item.name] if in_graph else part
        runs.append((given, inputs, session.run(names, inputs)))
    share = _FLOAT_TOLERANCE if manifest.target is None else _INT8_TOLERANCE
    largest = {name: max(float(np.abs(run[2][at]).max(initial=0)) for run in runs) for at, name in enumerate(names)}
    files: dict[str, bytes] = {}
    cases = []
    for number, (given, inputs, outputs) in enumerate(runs):
        cases.append(
            GoldenCase(
                raw=tuple(
                    _kept(files, f"{number}-raw{f'-{at}' if at else ''}.bin", name, array)
                    for at, (name, array) in enumerate(given.items())
                ),
                inputs=tuple(
                    _kept(files, f"{number}-input{f'-{at}' if at else ''}.bin", name, array)
                    for at, (name, array) in enumerate(inputs.items())
                ),
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


def samples_at_a_time(inputs: Sequence[ModelInput]) -> int | None:
    """How many samples the graph reads in one run, or None where that is open.

    Raises:
        ModelError: inputs differ in it.
    """
    sizes = {item.shape[0] for item in inputs if isinstance(item.shape[0], int)}
    if len(sizes) > 1:
        found = ", ".join(f"{item.name} {item.shape[0]}" for item in inputs)
        raise ModelError(f"all inputs must read the same number of samples at a time, found {found}")
    return sizes.pop() if sizes else None


def golden_samples(inputs: Sequence[ModelInput], count: int, data: Path | None = None) -> dict[str, np.ndarray]:
    """Raw samples for golden vectors: the first of a file, or random ones, always the same.

    Args:
        inputs: the model's.
        count: how many batches of one sample, or of the model's own size.
        data: an ``.npz`` or a folder of ``.npy`` files with raw samples under the names of arrays.

    Returns:
        Array of the data set -> its samples.

    Raises:
        DataError: the file lacks an array, or one is not of the dtype and shape that the model reads.
        ModelError: inputs differ in how many samples they read at a time.
    """
    wanted = count * (samples_at_a_time(inputs) or 1)
    by_array: dict[str, list[ModelInput]] = {}
    for item in inputs:
        by_array.setdefault(item.array, []).append(item)
    if data is None:
        rng = np.random.default_rng(0)
        return {name: _random(rng, made, wanted) for name, made in by_array.items()}
    arrays = load_samples(data).arrays
    return {name: _first(data, arrays, made[0], wanted) for name, made in by_array.items()}


def _random(rng: np.random.Generator, inputs: Sequence[ModelInput], count: int) -> np.ndarray:
    """Samples of the array that these inputs are made of."""
    raw = np.zeros((count, *(size if isinstance(size, int) else 1 for size in inputs[0].raw_shape[1:])))
    for item in inputs:
        raw = _with_random(rng, item.preprocessing, raw)
    return raw.astype(inputs[0].preprocessing.raw_dtype)


def _first(data: Path, arrays: Mapping[str, np.ndarray], source: ModelInput, count: int) -> np.ndarray:
    """So many samples of a file's array, once they are known to be what an input reads."""
    name, shape, dtype = source.array, source.raw_shape, source.preprocessing.raw_dtype
    if name not in arrays:
        raise DataError(f"{data}: must hold {name!r}, found {', '.join(arrays)}")
    raw = arrays[name][:count]
    fixed = [not isinstance(size, int) or size == found for size, found in zip(shape, raw.shape, strict=False)]
    if raw.dtype != dtype or raw.ndim != len(shape) or not all(fixed[1:]) or len(raw) < count:
        raise DataError(
            f"{data}: {name!r} must be {dtype} {('samples', *shape[1:])} with {count} samples or more, "
            f"found {arrays[name].dtype} {arrays[name].shape}"
        )
    return np.ascontiguousarray(raw)


def _with_random(rng: np.random.Generator, steps: Preprocessing, raw: np.ndarray) -> np.ndarray:
    """The samples with random values in what one input is made of."""
    match steps:
        case RawPixels():
            return _with_random(rng, steps.pixels, raw)
        case Pixels(raw_dtype=raw_dtype) if np.dtype(raw_dtype).kind in "iu":
            limits = np.iinfo(raw_dtype)
            return rng.integers(limits.min, limits.max, raw.shape, np.dtype(raw_dtype).type, endpoint=True)
        case Pixels() | Features():
            return rng.standard_normal(raw.shape, np.float32)
        case Table():
            return np.stack([_random_column(rng, column, len(raw)) for column in steps.columns], axis=1)
        case RawNumbers():
            raw[:, list(steps.places)] = rng.standard_normal((len(raw), len(steps.places)))
            return raw
        case RawCategories():
            for column, place in zip(steps.columns, steps.places, strict=True):
                raw[:, place] = _random_column(rng, column, len(raw))
            return raw
        case Tokens():
            return rng.integers(0, steps.ids, raw.shape)


def _random_column(rng: np.random.Generator, column: NumericColumn | CategoricalColumn, count: int) -> np.ndarray:
    if isinstance(column, CategoricalColumn):
        return rng.integers(0, len(column.categories) + 1, count)
    return rng.normal(column.mean, column.std, count)


def _kept(files: dict[str, bytes], file: str, name: str, array: np.ndarray) -> GoldenArray:
    if array.dtype == object:
        files[file] = b"".join(f"{text}\0".encode() for text in array.flat)
        return GoldenArray(name=name, dtype="string", shape=array.shape, file=file)
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    files[file] = little.tobytes()
    return GoldenArray(name=name, dtype=array.dtype.name, shape=array.shape, file=file)


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")
