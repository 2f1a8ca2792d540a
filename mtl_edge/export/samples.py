"""What the forms of a model are compared on: raw samples of a data set, or random ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from mtl_edge.artifact import Manifest
from mtl_edge.bench.inputs import random_inputs
from mtl_edge.data.splits import load_samples
from mtl_edge.errors import DataError
from mtl_edge.kits.goldens import golden_samples, samples_at_a_time
from mtl_edge.runtime import Metrics, evaluate, predict

_RANDOM, _MOST = 16, 256
"""How many samples are made, and how many of a data set are compared."""


@dataclass(frozen=True)
class Comparison:
    """Inputs for several forms of one model.

    Attributes:
        raw: samples ``(N, …)`` of the data set's arrays, where a manifest says how inputs are made of them.
        feeds: the graph's inputs, where none does.
        labelled: all arrays of the data, where it has the labels of all tasks.
    """

    raw: Mapping[str, np.ndarray] | None
    feeds: Mapping[str, np.ndarray]
    labelled: Mapping[str, np.ndarray] | None

    def outputs(self, session: onnxruntime.InferenceSession, manifest: Manifest | None) -> dict[str, np.ndarray]:
        """What a form of the model computes of them; each is given its own inputs."""
        if self.raw is None or manifest is None:
            names = [item.name for item in session.get_outputs()]
            return dict(zip(names, session.run(names, dict(self.feeds)), strict=True))
        count = len(next(iter(self.raw.values())))
        size = samples_at_a_time(manifest.inputs) or count
        whole = {name: array[: count // size * size] for name, array in self.raw.items()}
        return predict(session, manifest.inputs, whole, size)

    def metrics(self, session: onnxruntime.InferenceSession, manifest: Manifest | None) -> Metrics | None:
        """Every task's metrics, where the samples have labels and the batch is open."""
        if self.labelled is None or manifest is None or samples_at_a_time(manifest.inputs) is not None:
            return None
        return evaluate(session, manifest.tasks, manifest.inputs, self.labelled)


def samples_for(
    session: onnxruntime.InferenceSession,
    manifest: Manifest | None,
    data: Path | None,
    *,
    batch: int | None = None,
    feeds: Mapping[str, np.ndarray] | None = None,
) -> Comparison:
    """Samples for a model and what is made of it.

    Args:
        session: the model.
        manifest: what it says of itself.
        data: an ``.npz`` or a folder of ``.npy`` files; None makes random samples, always the same.
        batch: how many at a time what is made of it will take; None where that is open.
        feeds: inputs to use as they are, for a model without a manifest.

    Raises:
        DataError: the data lack an input, or have one of another dtype or shape.
        BenchError: an input is not a tensor of numbers.
    """
    if manifest is None:
        return Comparison(None, feeds or _feeds(session, data, batch), None)
    arrays = load_samples(data).arrays if data is not None else {}
    own = samples_at_a_time(manifest.inputs)
    held = len(arrays.get(manifest.inputs[0].array, ())) if data is not None else _RANDOM * (batch or 1)
    step = own or batch or 1
    count = max(min(held, max(_MOST, step)) // step, 1) * step
    raw = golden_samples(manifest.inputs, count // (own or 1), data)
    labelled = arrays if all(task.target in arrays for task in manifest.tasks) and data is not None else None
    return Comparison(raw, {}, labelled)


def _feeds(session: onnxruntime.InferenceSession, data: Path | None, batch: int | None) -> dict[str, np.ndarray]:
    """Inputs as the graph reads them."""
    inputs = session.get_inputs()
    if data is None:
        return random_inputs(inputs, batch=batch or _RANDOM, dims={}, place="export")
    arrays = load_samples(data).arrays
    for item in inputs:
        if item.name not in arrays:
            raise DataError(f"{data}: must hold {item.name!r}, found {', '.join(arrays)}")
    fixed = next((item.shape[0] for item in inputs if item.shape and isinstance(item.shape[0], int)), batch)
    return {item.name: arrays[item.name][: fixed or _MOST] for item in inputs}
