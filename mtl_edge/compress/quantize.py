"""Static int8 quantization of any fp32 ``.onnx``; needs onnx and onnxruntime, no torch."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
)
from onnxruntime.quantization import quantize_static as ort_quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from mtl_edge.errors import ModelError
from mtl_edge.progress import progress_bar

Method = Literal["minmax", "percentile", "entropy"]
_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}


def quantize_static(model: bytes, batches: Sequence[dict[str, np.ndarray]], *, method: Method = "minmax") -> bytes:
    """Quantize weights and activations to 8 bits, with ranges taken from calibration data.

    Activations become uint8, weights int8 with one scale per output channel, written as Q/DQ pairs: of the forms that
    ONNX Runtime reads, this is the one whose convolutions, residual adds and pooling all run in int8 on x86.

    Args:
        model: a serialized fp32 ONNX model.
        batches: input name -> array, the samples to calibrate with.
        method: how a range is taken from what was seen. ``percentile`` and ``entropy`` keep every activation of
            every batch in memory.

    Returns:
        The serialized int8 model.

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
        source, prepared, target = (Path(folder) / name for name in ("fp32.onnx", "prepared.onnx", "int8.onnx"))
        source.write_bytes(model)
        # Fuses batch norms and infers shapes. Symbolic inference needs sympy and fails on Resize: not used.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        with progress_bar("calibrate", total=len(batches)) as bar:

            def feed() -> Iterator[dict[str, np.ndarray]]:
                for batch in batches:
                    yield batch
                    bar.advance()

            ort_quantize_static(
                prepared,
                target,
                _Reader(feed()),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                calibrate_method=_METHODS[method],
            )
        return _trimmed(target.read_bytes())


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Iterator[dict[str, np.ndarray]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def _trimmed(model: bytes) -> bytes:
    """Drop what the quantizer leaves behind.

    Shapes of inner values: ONNX Runtime infers them again, and small models are mostly names. Operator sets that no
    node uses: older runtimes refuse versions of them that they do not know.
    """
    proto = onnx.load_from_string(model)
    used = {node.domain for node in proto.graph.node}
    for entry in list(proto.opset_import):
        if entry.domain not in used:
            proto.opset_import.remove(entry)
    proto.graph.ClearField("value_info")
    proto.ClearField("metadata_props")
    return bytes(proto.SerializeToString(deterministic=True))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantizer logs hints on the root logger that do not apply here."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
