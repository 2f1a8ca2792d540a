"""Static int8 quantization of any fp32 ``.onnx``; needs onnx and onnxruntime, no torch.

Where 8 bits go, ONNX Runtime's own quantizer decides: it knows which operators its kernels fuse. The ranges come from
our calibration, which sees the data once and keeps none of it.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.quantization.shape_inference import quant_pre_process

from mtl_edge.errors import ModelError
from mtl_edge.quantize.calibrate import calibrate
from mtl_edge.quantize.narrow import Narrowing, narrowing
from mtl_edge.quantize.observe import Observer
from mtl_edge.quantize.placement import kept_in_float, let_outputs_be_float
from mtl_edge.quantize.ranges import Method, find_range
from mtl_edge.quantize.target import Target, TargetName, find_target, this_target


def quantize_static(
    model: bytes,
    batches: Iterable[Mapping[str, np.ndarray]],
    *,
    method: Method = "minmax",
    target: TargetName | None = None,
) -> bytes:
    """Quantize weights and activations to 8 bits, with ranges taken from calibration data.

    Weights get one scale per output channel, and both are written as Q/DQ pairs: of the forms that
    ONNX Runtime reads, this is the one whose convolutions, residual adds and pooling all run in int8 on x86. What is
    done to raw inputs before the first layer stays in float, as do norms and the outputs of last matrix products.

    Args:
        model: a serialized fp32 ONNX model.
        batches: input name -> array, the samples to calibrate with, read once and one at a time.
        method: how a range is taken from what was seen.
        target: the kind of processor that will run it; None means this box.

    Returns:
        The serialized int8 model.

    Raises:
        ModelError: the model cannot be read, or is quantized already.
        DataError: the calibration data does not fit the model.
    """
    prepared, profile = prepare(model), find_target(target or this_target())
    return write_qdq(prepared, calibrate(prepared, batches), method, profile, find_narrowing(prepared, profile))


def prepare(model: bytes) -> bytes:
    """Fold constants, fuse batch norms and infer shapes: what calibration and quantization start from.

    Raises:
        ModelError: the model cannot be read, or is quantized already.
    """
    try:
        graph = onnx.load_from_string(model).graph
    except Exception as error:  # protobuf's own exception types are not public
        raise ModelError(f"quantize: the model is not readable ONNX: {error}") from error
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph.node):
        raise ModelError("quantize: the model must be fp32, found QuantizeLinear nodes: it is quantized already")
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as folder, _quiet():
        source, prepared = Path(folder) / "fp32.onnx", Path(folder) / "prepared.onnx"
        source.write_bytes(model)
        # Symbolic inference needs sympy and fails on Resize: not used.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        proto = onnx.load(prepared)
    for position, node in enumerate(proto.graph.node):
        node.name = node.name or f"node_{position}"
    return bytes(proto.SerializeToString())


def find_narrowing(prepared: bytes, target: Target) -> Narrowing:
    """Which weights of a prepared model must not use all of their 8 bits on a kind of processor."""
    graph = onnx.load_from_string(prepared).graph
    return narrowing(graph, set(kept_in_float(graph))) if target.saturates else Narrowing({}, ())


def write_qdq(
    prepared: bytes, observed: Mapping[str, Observer], method: Method, target: Target, narrowed: Narrowing
) -> bytes:
    """Write a prepared model with Q/DQ pairs, whose scales cover the ranges that a method finds."""
    ranges = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ((name, find_range(observer, method)) for name, observer in observed.items())
    }
    proto = onnx.load_from_string(prepared)
    with _quiet():
        quantizer = QDQQuantizer(
            proto,
            per_channel=True,
            reduce_range=False,
            weight_qType=target.weight,
            activation_qType=target.activation,
            tensors_range=TensorsData(CalibrationMethod.MinMax, ranges),
            nodes_to_quantize=[],
            nodes_to_exclude=kept_in_float(proto.graph),
            op_types_to_quantize=sorted({*QLinearOpsRegistry, *QDQRegistry}),
            extra_options={"TensorQuantOverrides": _overrides(narrowed)},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    let_outputs_be_float(quantizer.model.model.graph)
    return _trimmed(quantizer.model.model)


def _overrides(narrowed: Narrowing) -> dict[str, list[dict[str, Any]]]:
    """The ranges of weights in the quantizer's own form: a dictionary per channel."""
    return {
        weight: [{"axis": axis, "rmin": -end, "rmax": end} for end in ends.tolist()]
        for weight, (axis, ends) in narrowed.ranges.items()
    }


def _trimmed(model: onnx.ModelProto) -> bytes:
    """Drop what the quantizer leaves behind.

    Shapes of inner values: ONNX Runtime infers them again, and small models are mostly names. Operator sets that no
    node uses: older runtimes refuse versions of them that they do not know.
    """
    used = {node.domain for node in model.graph.node}
    for entry in list(model.opset_import):
        if entry.domain not in used:
            model.opset_import.remove(entry)
    model.graph.ClearField("value_info")
    model.ClearField("metadata_props")
    return bytes(model.SerializeToString(deterministic=True))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantizer logs hints on the root logger that do not apply here."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
