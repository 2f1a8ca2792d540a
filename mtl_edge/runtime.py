"""ONNX Runtime on CPU: manifests, predictions and every task's metrics from the runtime's own outputs."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from mtl_edge.artifact import Manifest, ModelInput, read_manifest
from mtl_edge.data.check import check_labels
from mtl_edge.errors import DataError, ModelError, needs_extra
from mtl_edge.session import open_session as open_session
from mtl_edge.tasks import Task

Metrics = dict[str, dict[str, float]]
"""Task -> metric -> value."""

_BATCH = 250


class Session(Protocol):
    """What can be evaluated: an ``InferenceSession`` of ONNX Runtime, or what does as one would."""

    def get_outputs(self) -> Sequence[Any]:
        """The outputs, each with its ``name``."""

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, np.ndarray], /) -> Sequence[np.ndarray]:
        """Compute the outputs of these names."""


def manifest_of(path: Path, session: onnxruntime.InferenceSession) -> Manifest | None:
    """The manifest inside a loaded model, or None for a model that mtl-edge did not make.

    Raises:
        ModelError: the manifest is damaged, or names inputs or outputs that the graph lacks.
    """
    try:
        metadata = session.get_modelmeta().custom_metadata_map
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: metadata must be UTF-8: {error}") from error
    manifest = read_manifest(path, metadata)
    if manifest is not None:
        wanted = {
            "input": ([item.name for item in manifest.inputs], [item.name for item in session.get_inputs()]),
            "output": (
                [*(task.name for task in manifest.tasks), *(answer.output for answer in manifest.answers)],
                [item.name for item in session.get_outputs()],
            ),
        }
        for kind, (named, present) in wanted.items():
            for name in named:
                if name not in present:
                    raise ModelError(
                        f"{path}: the manifest names the {kind} {name!r}, the graph has {', '.join(present)}"
                    )
        shapes = {item.name: item.shape for item in (*session.get_inputs(), *session.get_outputs())}
        said = {item.name: item.shape for item in manifest.inputs} | {
            task.name: ("batch", task.width, *shapes[task.name][2:]) for task in manifest.tasks
        }
        for name, shape in said.items():
            if len(shape) != len(shapes[name]) or any(
                isinstance(mine, int) and isinstance(theirs, int) and mine != theirs
                for mine, theirs in zip(shape, shapes[name], strict=True)
            ):
                raise ModelError(
                    f"{path}: the manifest says that {name!r} is {list(shape)}, the graph says {shapes[name]}"
                )
    return manifest


Inputs = ModelInput | Sequence[ModelInput]
"""A model's input, or several."""

Raw = np.ndarray | Mapping[str, np.ndarray]
"""Samples ``(N, …)`` as the data set holds them: the array that all inputs are made of, or arrays by name."""


def predict(session: Session, source: Inputs, raw: Raw, batch_size: int = _BATCH) -> dict[str, np.ndarray]:
    """Run a model over raw samples, batch after batch.

    Args:
        session: the loaded model.
        source: the model's input, or inputs, with the preprocessing to apply.
        raw: the samples.
        batch_size: samples per run.

    Returns:
        Output name -> array ``(N, …)``.
    """
    batches = list(_outputs(session, source, raw, batch_size))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def evaluate(
    session: Session,
    tasks: Sequence[Task],
    source: Inputs,
    arrays: Mapping[str, np.ndarray],
) -> Metrics:
    """Every task's metrics over all samples, computed from ONNX Runtime's outputs.

    Args:
        session: the loaded model.
        tasks: what the outputs mean.
        source: the model's input, or inputs.
        arrays: the samples, with each input and each target under its name.

    Raises:
        DataError: an array is missing or empty, samples are not of the shape that the model reads, or labels are not
            what their task allows.
        MissingExtraError: scikit-learn is not installed.
        ModelError: the outputs are not finite.
    """
    with needs_extra("metrics"):
        import sklearn.metrics  # noqa: F401 - at once, not after all samples have been computed
    return measured(tasks, answers(session, tasks, source, arrays), arrays)


def measured(tasks: Sequence[Task], found: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]) -> Metrics:
    """Every task's metrics of what :func:`answers` found."""
    return {task.name: task.measure(found[task.name], arrays[task.target]) for task in tasks}


def answers(
    session: Session, tasks: Sequence[Task], source: Inputs, arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Every task's decoded answers to all samples, from ONNX Runtime's outputs; arguments are as of :func:`evaluate`.

    Raises:
        DataError: as for :func:`evaluate`.
        ModelError: the outputs are not finite.
    """
    read = {item.array: item.raw_shape for item in _several(source)}
    count = len(arrays.get(next(iter(read)), ()))
    for name in (*read, *(task.target for task in tasks)):
        if name not in arrays:
            raise DataError(f"test data: no array {name!r}, found {', '.join(sorted(arrays))}")
        if not len(arrays[name]) or len(arrays[name]) != count:
            raise DataError(f"test data: {name!r} must have one entry per sample, found {len(arrays[name])}")
    for name, shape in read.items():
        raw = arrays[name]
        if raw.ndim != len(shape) or any(
            isinstance(wanted, int) and wanted != found for wanted, found in zip(shape, raw.shape, strict=True)
        ):
            raise DataError(f"test data: {name!r} must have the shape {shape}, found {raw.shape}")
    pictures = max((arrays[name].shape for name in read), key=len)  # maps are as large as they are
    for task in tasks:
        check_labels(task, arrays[task.target], pictures, f"test data: {task.target!r}")
    parts: dict[str, list[np.ndarray]] = {task.name: [] for task in tasks}
    for outputs in _outputs(session, source, arrays, _BATCH):
        for task in tasks:
            parts[task.name].append(task.decode(outputs[task.name]))
    return {name: np.concatenate(found) for name, found in parts.items()}


def _several(source: Inputs) -> Sequence[ModelInput]:
    return (source,) if isinstance(source, ModelInput) else source


def _outputs(session: Session, source: Inputs, raw: Raw, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    names = [item.name for item in session.get_outputs()]
    items = _several(source)
    arrays = {item.array: raw for item in items} if isinstance(raw, np.ndarray) else raw
    for start in range(0, len(arrays[items[0].array]), batch_size):
        part = slice(start, start + batch_size)
        inputs = {item.name: item.preprocessing.apply(arrays[item.array][part]) for item in items}
        yield dict(zip(names, session.run(names, inputs), strict=True))
