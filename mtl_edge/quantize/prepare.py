"""What quantization starts from: the same fp32 model in a form that ONNX Runtime's quantizer has no trouble with."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnxruntime.quantization.shape_inference import quant_pre_process

from mtl_edge.errors import ModelError
from mtl_edge.quantize.audit import is_quantized
from mtl_edge.quantize.rewrite import (
    fold_casts,
    fold_factors,
    half_precision_layer,
    part_read_activations,
    part_shared_constants,
    with_opset,
    write_out_biases,
)
from mtl_edge.quantize.weights import bits_of_weights


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
    if quantized := next((node.op_type for node in proto.graph.node if is_quantized(node)), None):
        raise ModelError(f"quantize: the model must be fp32, found {quantized} nodes: it is quantized already")
    if bits := bits_of_weights(proto.graph):
        raise ModelError(f"quantize: the model must be fp32, found weights of {bits} bits: it is quantized already")
    content = with_opset(proto).SerializeToString()
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as folder, quiet():
        source, prepared = Path(folder) / "fp32.onnx", Path(folder) / "prepared.onnx"
        source.write_bytes(content)
        # Symbolic inference needs sympy and fails on Resize: not used.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        proto = onnx.load(prepared)
    for position, node in enumerate(proto.graph.node):
        node.name = node.name or f"node_{position}"
    fold_casts(proto.graph)
    if half := half_precision_layer(proto.graph):
        raise ModelError(f"quantize: the model must be fp32, found the layer {half} in half precision")
    for rewrite in (fold_factors, write_out_biases, part_shared_constants, part_read_activations):
        rewrite(proto.graph)
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
