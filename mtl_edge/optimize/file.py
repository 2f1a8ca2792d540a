"""From one ``.onnx`` file to a faster one that computes the same."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import onnx

from mtl_edge.artifact import METADATA_KEY, child_of, seal
from mtl_edge.bench.inputs import random_inputs
from mtl_edge.optimize.optimize import optimize_graph
from mtl_edge.quantize.data import calibration_data
from mtl_edge.quantize.source import arrays_of, read_source
from mtl_edge.storage import write_atomically

_SAMPLES = 16


class OptimizedFile(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it, as of :class:`mtl_edge.optimize.optimize.Optimized`, and where it is."""

    path: str
    applied: tuple[str, ...]
    refused: tuple[str, ...]
    latency_ratio: float
    largest_difference: float
    nodes_before: int
    nodes_after: int


def optimize_file(source: Path, output: Path, *, data: Path | None = None) -> OptimizedFile:
    """Write a model that is as exact and faster on this box, or the same one where nothing makes it so.

    Args:
        source: an fp32 ``.onnx``.
        output: the file to write; of a model that mtl-edge made, with a manifest that names its parent.
        data: inputs to compute and to time with, an ``.npz`` or a folder of ``.npy`` files; None makes random ones.

    Raises:
        ModelError: the model cannot be read, or is quantized.
        DataError: the data do not fit.
        WorkdirError: the output cannot be written.
    """
    session, content, manifest = read_source(source)
    proto = onnx.load_from_string(content)
    for entry in [entry for entry in proto.metadata_props if entry.key == METADATA_KEY]:
        proto.metadata_props.remove(entry)
    batch: Mapping[str, np.ndarray]
    if data is None:
        batch = random_inputs(session.get_inputs(), batch=_SAMPLES, dims={}, place=str(source))
    else:
        with arrays_of(data) as found:
            drawn = calibration_data(
                session.get_inputs(), found.arrays, manifest, samples=_SAMPLES, batch_size=_SAMPLES
            )
            batch = next(iter(drawn))
    best = optimize_graph(proto.SerializeToString(), batch)
    written = best.model
    if manifest is not None:
        made = child_of(manifest, "optimized", "optimize graph", manifest.target) if best.applied else manifest
        written, _ = seal(written, made)
    write_atomically(output, written)
    return OptimizedFile(
        path=str(output),
        applied=best.applied,
        refused=best.refused,
        latency_ratio=best.latency_ratio,
        largest_difference=best.largest_difference,
        nodes_before=len(proto.graph.node),
        nodes_after=len(onnx.load_from_string(best.model).graph.node),
    )
