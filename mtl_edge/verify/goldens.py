"""Golden vectors against what the model answers on this box."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtl_edge.artifact import Manifest
from mtl_edge.errors import ModelError, last_words
from mtl_edge.kits.goldens import GOLDENS_FILE, GoldenArray, GoldenCase, Goldens
from mtl_edge.preprocessing import RawCategories, RawNumbers, RawPixels
from mtl_edge.runtime import Session
from mtl_edge.verify.files import read_record

_PREPROCESSING_TOLERANCE = 1e-5
"""Of the largest input: a last bit or two of float32."""


@dataclass(frozen=True)
class GoldensFound:
    """How many golden vectors agree, and how much of its tolerance the worst output uses."""

    cases: int
    worst_share: float


def check_goldens(folder: Path, session: Session, manifest: Manifest) -> GoldensFound:
    """Run the model on every golden vector.

    Args:
        folder: where ``goldens.json`` is.
        session: the model, loaded.
        manifest: of the model.

    Raises:
        ModelError: the golden vectors are of another model or damaged, or an output is not what it was.
    """
    goldens = read_record(folder / GOLDENS_FILE, Goldens)
    if goldens.model_sha256 != manifest.sha256:
        raise ModelError(f"{folder}: the golden vectors must be those of {manifest.sha256}, found others")
    shares = [_check_case(folder, number, case, session, manifest) for number, case in enumerate(goldens.cases)]
    return GoldensFound(len(shares), max(shares, default=0.0))


def _check_case(folder: Path, number: int, case: GoldenCase, session: Session, manifest: Manifest) -> float:
    feeds = {array.name: _read(folder, array) for array in case.inputs}
    raw = {array.name: _read(folder, array) for array in case.raw}
    for item in manifest.inputs:
        known = raw.get(item.name)
        if known is not None and item.name in feeds:
            place = f"{folder}: case {number}: preprocessed {item.name!r}"
            in_graph = isinstance(item.preprocessing, RawPixels | RawNumbers | RawCategories)
            made = known if in_graph else item.preprocessing.apply(known)
            _distance(made, feeds[item.name], _PREPROCESSING_TOLERANCE * _largest(feeds[item.name]), place)
    try:
        answers = session.run([output.name for output in case.outputs], feeds)
    except Exception as error:  # the runtime's own exception types are not public
        raise ModelError(f"{folder}: case {number}: the model cannot read it: {last_words(error)}") from error
    return max(
        (
            _distance(answer, _read(folder, output), output.atol, f"{folder}: case {number}: output {output.name!r}")
            for answer, output in zip(answers, case.outputs, strict=True)
        ),
        default=0.0,
    )


def _read(folder: Path, array: GoldenArray) -> np.ndarray:
    path = folder / array.file
    try:
        dtype = np.dtype("u1" if array.dtype == "string" else array.dtype).newbyteorder("<")
        if dtype.hasobject or path.parent != folder or any(size < 0 for size in array.shape):
            raise ValueError(f"{array.dtype} {array.shape}")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: must be an array of numbers in the folder, found {error}") from error
    if array.dtype == "string":
        return _texts(path, content, array.shape)
    if len(content) != dtype.itemsize * math.prod(array.shape):
        raise ModelError(f"{path}: must hold {array.dtype} {array.shape}, found {len(content)} bytes")
    return np.frombuffer(content, dtype).reshape(array.shape).astype(dtype.newbyteorder("="))


def _texts(path: Path, content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Texts as objects, a zero byte behind each."""
    *texts, rest = content.split(b"\0")
    if rest or len(texts) != math.prod(shape):
        raise ModelError(f"{path}: must hold {math.prod(shape)} texts, a zero byte behind each, found {len(texts)}")
    return np.array([text.decode("utf-8", "replace") for text in texts], object).reshape(shape)


def _distance(found: np.ndarray, expected: np.ndarray, tolerance: float, place: str) -> float:
    """The largest difference over the tolerance, at most 1."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise ModelError(
            f"{place} must be {expected.dtype} {expected.shape}, found {found.dtype} {found.shape} on this box"
        )
    if np.array_equal(found, expected):
        return 0.0
    if found.dtype == object:
        raise ModelError(f"{place} must be the texts that the golden vectors hold, found others")
    gaps = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    gaps = np.where(np.isfinite(gaps), gaps, np.inf)
    at = np.unravel_index(gaps.argmax(), gaps.shape)
    if not gaps[at] <= tolerance:
        index = tuple(map(int, at))
        raise ModelError(f"{place} at {index} must be {expected[at]:g} within {tolerance:g}, found {found[at]:g}")
    return float(gaps[at] / tolerance)


def _largest(values: np.ndarray) -> float:
    return 0.0 if values.dtype == object else float(np.abs(values.astype(np.float64)).max(initial=0))
