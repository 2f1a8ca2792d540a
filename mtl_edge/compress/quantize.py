"""Static int8 quantization of any fp32 ``.onnx``; needs onnx and onnxruntime, no torch."""

import contextlib
import logging
import tempfile
from collections import Counter
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
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def quantize_static(model: bytes, batches: Sequence[dict[str, np.ndarray]], *, method: Method = "minmax") -> bytes:
    """Quantize weights and activations to 8 bits, with ranges taken from calibration data.

    Activations become uint8, weights int8 with one scale per output channel, written as Q/DQ pairs: of the forms that
    ONNX Runtime reads, this is the one whose convolutions, residual adds and pooling all run in int8 on x86. What is
    done to raw inputs before the first layer stays in float, as do norms and the outputs of last matrix products.

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
                    yield {name: _without_nan(array) for name, array in batch.items()}
                    bar.advance()

            ort_quantize_static(
                prepared,
                target,
                _Reader(feed()),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                nodes_to_exclude=_kept_in_float(prepared),
                calibrate_method=_METHODS[method],
            )
        return _trimmed(target.read_bytes())


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Iterator[dict[str, np.ndarray]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def _without_nan(array: np.ndarray) -> np.ndarray:
    """A batch for calibration, with each column's mean where a number is missing: a range cannot end at NaN."""
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(1, bool)
    if not missing.any():
        return array
    known = np.where(missing, 0, array)
    means = known.sum(0) / np.maximum((~missing).sum(0), 1)
    return np.where(missing, means, array).astype(array.dtype)


def _kept_in_float(path: Path) -> list[str]:
    """Names of the nodes not to quantize, after naming every node of the model.

    What is done to raw inputs before the first layer with weights: the columns of a table have units so different that
    one scale for all of them would leave nothing of most. And layer norms, which have no int8 kernel.
    """
    model = onnx.load(path)
    raw = {value.name for value in model.graph.input if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    constant = {value.name for value in model.graph.initializer} | {""}
    kept: list[str] = []
    for position, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{position}"
        inputs = set(node.input) - constant
        if not inputs:
            constant |= set(node.output)
        elif node.op_type == "LayerNormalization":
            kept.append(node.name)
        elif inputs <= raw and node.op_type not in _LAYERS:
            kept.append(node.name)
            if node.op_type != "Cast":  # to codes, which an embedding looks up
                raw |= set(node.output)
    onnx.save(model, path)
    return kept


def _with_float_outputs(graph: onnx.GraphProto) -> None:
    """Let matrix products that are outputs answer in float, which their int8 kernels can do.

    So an output keeps its resolution where it has little spread around a large mean: 8 bits would span all from zero.
    """
    makers = {name: node for node in graph.node for name in node.output}
    uses = Counter(name for node in graph.node for name in node.input)
    for output in graph.output:
        dequantize = makers.get(output.name)
        if dequantize is None or dequantize.op_type != "DequantizeLinear" or uses[output.name]:
            continue
        quantize = makers.get(dequantize.input[0])
        product = makers.get(quantize.input[0]) if quantize is not None else None
        if quantize is None or product is None or product.op_type not in ("Gemm", "MatMul"):
            continue
        if uses[quantize.input[0]] == 1 and uses[quantize.output[0]] == 1:
            product.output[0] = output.name
            graph.node.remove(quantize)
            graph.node.remove(dequantize)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def _trimmed(model: bytes) -> bytes:
    """Drop what the quantizer leaves behind.

    Shapes of inner values: ONNX Runtime infers them again, and small models are mostly names. Operator sets that no
    node uses: older runtimes refuse versions of them that they do not know.
    """
    proto = onnx.load_from_string(model)
    _with_float_outputs(proto.graph)
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
