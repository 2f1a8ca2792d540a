"""One pass over calibration data, batch after batch: every activation is observed, none is kept."""

import math
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

from mtl_edge.errors import DataError, ModelError, last_words
from mtl_edge.graph import names_read
from mtl_edge.quantize.observe import Observer

_BATCH_BYTES = 2**23
"""What the activations of one batch may take; two batches are in memory at a time."""


def samples_of_a_batch(prepared: bytes, most: int) -> int:
    """How many samples to calibrate with at once: a power of two, whose activations are few enough, or ``most``.

    Args:
        prepared: a model whose inner values have shapes, with the samples as their first axis; what has other axes of
            unknown length is taken for short.
        most: not more than so many.
    """
    graph = onnx.load_from_string(prepared).graph
    shapes = (value.type.tensor_type.shape.dim for value in _known_floats(graph))
    values = sum(math.prod(max(axis.dim_value, 1) for axis in shape[1:]) for shape in shapes)
    fitting = _BATCH_BYTES // (4 * max(values, 1))
    return most if fitting >= most else 2 ** max(fitting.bit_length() - 1, 0)


def calibrate(model: bytes, batches: Iterable[Mapping[str, np.ndarray]]) -> dict[str, Observer]:
    """Observe every float tensor that a network computes.

    Args:
        model: a serialized fp32 model whose inner values have shapes (see onnx's shape inference).
        batches: input name -> array, in as many batches as there are; peak memory is that of the largest one.

    Returns:
        Tensor name -> what was seen of it, the graph's inputs included. NaN in an input that the graph
        looks for NaN is a missing number.

    Raises:
        DataError: the data does not fit the graph's inputs, gives NaN or infinities inside, or there is none.
        ModelError: the model cannot be loaded.
    """
    proto = onnx.load_from_string(model)
    rectified = _rectified(proto.graph)
    names = [name for name in _float_values(proto.graph) if name not in rectified]
    present = {value.name for value in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    session = open_unfused(proto, "calibration")
    inputs = {item.name for item in session.get_inputs()}
    gaps = _inputs_with_gaps(proto.graph)
    observers = {name: Observer() for name in (*sorted(inputs & _float_inputs(proto.graph)), *names)}
    # While the runtime works on one batch, the one before is observed: memory is that of two batches.
    with ThreadPoolExecutor(max_workers=1) as observing:
        pending: Future[None] | None = None
        for index, batch in enumerate(batches):
            if set(batch) != inputs:
                raise DataError(f"calibration: the inputs must be {_listed(inputs)}, found {_listed(batch)}")
            fed = {name: without_nan(array) if name in gaps else array for name, array in batch.items()}
            try:
                outputs = session.run(names, fed)
            except Exception as error:
                raise DataError(f"calibration: batch {index} does not fit the model: {last_words(error)}") from error
            if pending is not None:
                pending.result()
            seen = fed | dict(zip(names, outputs, strict=True))
            pending = observing.submit(_observe, observers, seen, index)
            del outputs, seen
        if pending is None:
            raise DataError("calibration: at least one sample is needed, found none")
        pending.result()
    return observers | {name: observers[after] for name, after in rectified.items() if after in observers}


def open_unfused(proto: onnx.ModelProto, place: str) -> onnxruntime.InferenceSession:
    """Load a model whose additional outputs are to be observed, with float kernels for all of it.

    Raises:
        ModelError: it cannot be loaded; the message begins with ``place``.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # No fusion hides what is an output. Q/DQ pairs stay pairs, around kernels of floats that saturate nowhere.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    # What comes between two batches would be waited for by spinning, on processors that observe meanwhile.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exception types are not public
        raise ModelError(f"{place}: ONNX Runtime cannot load the model: {last_words(error)}") from error


def without_nan(array: np.ndarray) -> np.ndarray:
    """A batch for calibration, with each column's mean where a number is missing: a range cannot end at NaN."""
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(1, bool)
    if not missing.any():
        return array
    known = np.where(missing, 0, array)
    means = known.sum(0) / np.maximum((~missing).sum(0), 1)
    return np.where(missing, means, array).astype(array.dtype)


def _observe(observers: Mapping[str, Observer], seen: Mapping[str, np.ndarray], batch: int) -> None:
    for name, observer in observers.items():
        try:
            observer.update(seen[name])
        except ValueError as error:
            raise DataError(f"calibration: tensor {name!r} in batch {batch}: {error}") from error


def _float_values(graph: onnx.GraphProto) -> list[str]:
    """What nodes compute, where it is known to be float32."""
    floats = {value.name for value in _known_floats(graph)}
    return [name for node in graph.node for name in node.output if name in floats]


def _known_floats(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """What is known of inner values and outputs that are float32."""
    return [
        value for value in (*graph.value_info, *graph.output) if value.type.tensor_type.elem_type == TensorProto.FLOAT
    ]


def _rectified(graph: onnx.GraphProto) -> dict[str, str]:
    """What only one Relu reads -> what that gives: in int8 the two become one, with the range of the latter."""
    readers: dict[str, list[onnx.NodeProto | None]] = {value.name: [None] for value in graph.output}
    for node in graph.node:
        for name in names_read(node):
            readers.setdefault(name, []).append(node)
    return {
        name: nodes[0].output[0]
        for name, nodes in readers.items()
        if len(nodes) == 1 and nodes[0] is not None and nodes[0].op_type == "Relu"
    }


def _inputs_with_gaps(graph: onnx.GraphProto) -> set[str]:
    """Inputs in which the graph itself looks for NaN."""
    searched = {name for node in graph.node if node.op_type == "IsNaN" for name in node.input}
    for node in reversed(graph.node):
        if searched.intersection(node.output):
            searched.update(names_read(node))
    return searched.intersection(value.name for value in graph.input)


def _float_inputs(graph: onnx.GraphProto) -> set[str]:
    return {value.name for value in graph.input if value.type.tensor_type.elem_type == TensorProto.FLOAT}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
