"""Calibration data as the graph wants it: checked, drawn, preprocessed, batch after batch."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from mtl_edge.artifact import Manifest
from mtl_edge.data.splits import rows_of
from mtl_edge.errors import DataError, ModelError
from mtl_edge.preprocessing import Preprocessing
from mtl_edge.quantize.sampling import balanced_sample, uncovered

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
} | {f"tensor({kind}int{bits})": f"{kind}int{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)}


_SHOWN = 32
"""Samples, at least, if there are as many."""


class GraphInput(Protocol):
    """What ONNX Runtime says of an input: unknown dimensions are names or None."""

    name: str
    type: str
    shape: Sequence[int | str | None]


@dataclass(frozen=True)
class CalibrationData:
    """Samples for a graph's inputs.

    Attributes:
        arrays: each input's samples ``(N, …)``, raw where they have a preprocessing.
        preprocessing: of the inputs that have one.
        positions: which samples count.
        batch_size: samples of one batch; that which the graph demands, where it does.
        remarks: what the samples do not show.
    """

    arrays: Mapping[str, np.ndarray]
    preprocessing: Mapping[str, Preprocessing]
    positions: np.ndarray
    batch_size: int
    remarks: tuple[str, ...]

    def __len__(self) -> int:
        """How many batches there are."""
        return -(-len(self.positions) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, len(self.positions), self.batch_size):
            rows = self.positions[start : start + self.batch_size]
            yield {name: self._read(name, rows) for name in self.arrays}

    @property
    def shown(self) -> tuple[dict[str, np.ndarray], ...]:
        """The first batches, with samples enough for signal to noise: of one answer there is no spread."""
        return tuple(itertools.islice(self, -(-_SHOWN // self.batch_size)))

    @property
    def unseen(self) -> "CalibrationData":
        """The samples that were not drawn, in whole batches."""
        rest = np.setdiff1d(np.arange(len(next(iter(self.arrays.values())))), self.positions)
        return replace(self, positions=rest[: len(rest) // self.batch_size * self.batch_size], remarks=())

    def spread(self, samples: int) -> "CalibrationData":
        """At most so many of the samples, evenly spread over all; whole batches of the size that the graph demands."""
        if len(self.positions) <= samples:
            return self
        stride = -(-len(self.positions) // max(samples, self.batch_size))
        few = self.positions[::stride]
        whole = len(few) // self.batch_size * self.batch_size
        return replace(self, positions=few[: whole or len(few)])

    @property
    def sha256(self) -> str:
        """What tells these samples from others."""
        digest = hashlib.sha256()
        for batch in self:
            for name, array in batch.items():
                digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
                digest.update(array.tobytes())
        return digest.hexdigest()

    def _read(self, name: str, rows: np.ndarray) -> np.ndarray:
        found = rows_of(self.arrays[name], rows)
        known = self.preprocessing.get(name)
        return found if known is None else known.apply(found)


def fixed_batch(inputs: Sequence[GraphInput]) -> int | None:
    """How many samples a graph demands at a time; None where it leaves that open."""
    return next((item.shape[0] for item in inputs if isinstance(item.shape[0], int)), None)


def calibration_data(
    inputs: Sequence[GraphInput],
    arrays: Mapping[str, np.ndarray],
    manifest: Manifest | None,
    *,
    samples: int,
    batch_size: int,
    seed: int = 0,
    place: str = "calibration data",
) -> CalibrationData:
    """Check the arrays against the graph, and draw samples that show every class of every task.

    Args:
        inputs: the graph's, from ``session.get_inputs()``.
        arrays: the samples, with each input and maybe the targets of tasks under their names.
        manifest: that of the model, if it has one: it knows preprocessing and tasks.
        samples: how many to draw.
        batch_size: samples of one batch, where the graph leaves it open.
        seed: of the draw.
        place: where messages say that the samples are.

    Raises:
        DataError: an input has no array, or one of another shape or dtype, or one that never varies; or the samples are
            fewer than a task's classes.
        ModelError: an input cannot be calibrated.
    """
    known = {item.name: item.preprocessing for item in manifest.inputs} if manifest else {}
    applied: dict[str, Preprocessing] = {}
    for item in inputs:
        if item.type not in _DTYPES or not item.shape:
            form = item.type if item.shape else "a single number"
            raise ModelError(f"calibration: input {item.name!r} must be a tensor of numbers with samples, found {form}")
        if item.name not in arrays:
            raise DataError(f"{place}: no array {item.name!r}, found {', '.join(sorted(arrays))}")
        array, wanted = arrays[item.name], _DTYPES[item.type]
        if item.name in known and array.dtype == known[item.name].raw_dtype:
            applied[item.name] = known[item.name]
        elif array.dtype != wanted:
            also = f" (or {known[item.name].raw_dtype}, before preprocessing)" if item.name in known else ""
            raise DataError(f"{place}: {item.name!r} must be {wanted}{also}, found {array.dtype}")
        if (
            array.ndim != len(item.shape)
            or 0 in array.shape[1:]
            or any(
                isinstance(size, int) and size != found
                for size, found in zip(item.shape[1:], array.shape[1:], strict=True)
            )
        ):
            raise DataError(f"{place}: {item.name!r} must have the shape {item.shape}, found {array.shape}")
    tasks = manifest.tasks if manifest else ()
    total = len(next(iter(arrays.values())))
    for task in tasks:
        classes = getattr(task, "classes", 0)
        if total < classes and task.target in arrays:
            raise DataError(
                f"{place}: must have a sample for each of {classes} classes of {task.name!r}, found {total}"
            )
    positions = balanced_sample(tasks, arrays, samples, np.random.default_rng(seed))
    fixed = fixed_batch(inputs)
    if fixed is not None:
        if len(positions) < fixed:
            raise DataError(f"{place}: must have the graph's batch of {fixed} at least, found {len(positions)}")
        positions = positions[: len(positions) // fixed * fixed]
    chosen = {task.target: arrays[task.target][positions] for task in tasks if task.target in arrays}
    for item in inputs:
        if (value := _only_value(arrays[item.name], positions)) is not None:
            raise DataError(f"{place}: {item.name!r} must vary, found {value} everywhere")
    return CalibrationData(
        arrays={item.name: arrays[item.name] for item in inputs},
        preprocessing=applied,
        positions=positions,
        batch_size=fixed or batch_size,
        remarks=tuple(uncovered(tasks, chosen)) if chosen else (),
    )


def _only_value(array: np.ndarray, positions: np.ndarray) -> object:
    """What all values at some positions are, or None where they differ or there is but one; reads few at a time."""
    first = array[positions[0]].flat[0] if len(positions) and array[0].size else None
    if first is None or len(positions) * array[0].size < 2:
        return None
    starts = range(0, len(positions), _SHOWN)
    same = all((array[positions[start : start + _SHOWN]] == first).all() for start in starts)
    return first if same else None
