"""What quantization starts from: the same fp32 model in a form that ONNX Runtime's quantizer has no trouble with."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper, version_converter
from onnxruntime.quantization.shape_inference import quant_pre_process

from mtl_edge.errors import ModelError
from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.weights import channel_axis, has_small_weights, layer_weight

_OPSET = 13
"""The first in which scales of single channels can be written."""


def prepare(model: bytes) -> bytes:
    """Fold constants, fuse batch norms, infer shapes, name nodes, and mend what the quantizer would get wrong.

    Raises:
        ModelError: the model cannot be read, is quantized already or not in fp32, or is of an operator set that cannot
            be raised.
    """
    try:
        proto = onnx.load_from_string(model)
    except Exception as error:  # protobuf's own exception types are not public
        raise ModelError(f"quantize: the model is not readable ONNX: {error}") from error
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in proto.graph.node):
        raise ModelError("quantize: the model must be fp32, found QuantizeLinear nodes: it is quantized already")
    if has_small_weights(proto.graph):
        raise ModelError("quantize: the model must be fp32, found weights of 8 bits: it is quantized already")
    if (half := _other_floats(proto.graph)) is not None:
        raise ModelError(f"quantize: the model must be fp32, found weights in {half}")
    content = _raised(proto).SerializeToString()
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as folder, quiet():
        source, prepared = Path(folder) / "fp32.onnx", Path(folder) / "prepared.onnx"
        source.write_bytes(content)
        # Symbolic inference needs sympy and fails on Resize: not used.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        proto = onnx.load(prepared)
    for position, node in enumerate(proto.graph.node):
        node.name = node.name or f"node_{position}"
    _write_out_biases(proto.graph)
    _part_weights(proto.graph)
    return bytes(proto.SerializeToString())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """ONNX Runtime's quantizer logs hints on the root logger that do not apply here."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)


def _other_floats(graph: onnx.GraphProto) -> str | None:
    """The dtype of a layer's weights that are in floats of another width."""
    dtypes = {tensor.name: helper.tensor_dtype_to_np_dtype(tensor.data_type) for tensor in graph.initializer}
    found = [dtypes[name] for node in graph.node if (name := layer_weight(node)) in dtypes]
    return next((str(dtype) for dtype in found if dtype.kind not in "iu" and dtype != np.float32), None)


def _raised(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with an operator set that has scales for single channels."""
    version = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), _OPSET)
    if version >= _OPSET:
        return proto
    try:
        return version_converter.convert_version(proto, _OPSET)
    except Exception as error:  # of several kinds, none of them public
        reason = str(error).strip().splitlines()[-1]
        raise ModelError(f"quantize: the model must have opset {_OPSET} or newer, found {version}: {reason}") from error


def _write_out_biases(graph: onnx.GraphProto) -> None:
    """Give each ``Gemm`` a bias with a value per column and no factor.

    The quantizer drops the factor, and broadcasts nothing.
    """
    constants = constants_of(graph)
    for node in graph.node:
        if node.op_type != "Gemm" or node.input[1] not in constants:
            continue
        beta = next((entry for entry in node.attribute if entry.name == "beta"), None)
        factor = 1.0 if beta is None else beta.f
        columns = constants[node.input[1]].shape[channel_axis(node, 2)]
        if len(node.input) > 2 and node.input[2]:
            bias = constants.get(node.input[2])
            if bias is None or bias.size not in (1, columns) or (factor == 1 and bias.shape == (columns,)):
                continue
            written = np.broadcast_to(bias.reshape(-1) * factor, (columns,)).astype(bias.dtype)
            node.input[2] = f"{node.name}_bias"
            graph.initializer.append(numpy_helper.from_array(written, node.input[2]))
        if beta is not None:
            node.attribute.remove(beta)


def _part_weights(graph: onnx.GraphProto) -> None:
    """Give a layer a copy of weights that another one reads with its channels along another axis.

    A tensor has its scales along one axis, and the quantizer takes that of the first layer for all.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    axes: dict[str, int] = {}
    for node in graph.node:
        tensor = tensors.get(layer_weight(node))
        if tensor is None:
            continue
        axis = channel_axis(node, len(tensor.dims))
        if axes.setdefault(tensor.name, axis) == axis:
            continue
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.name = f"{tensor.name}_along_{axis}"
        if copy.name not in tensors:
            tensors[copy.name] = copy
            graph.initializer.append(copy)
        node.input[:] = [copy.name if name == tensor.name else name for name in node.input]
