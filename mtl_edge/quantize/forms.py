"""Forms of a model other than static int8: what needs no calibration data.

- ``dynamic``: matrix products and LSTMs compute in int8; the range of what comes in is found anew in every run.
- ``weights``: weights are stored in 8 bits, and become float when the model is loaded.
- ``weights4``: weights of large matrix products and embeddings have 4 bits, in memory too, and a scale for each block.
- ``fp16``: weights are stored in 16 bits, and become float when the model is loaded.
- ``sparse``: the least weights are zero, which saves size once the file is compressed.

All of them store what else there is of layers' weights in 8 bits, but for ``fp16`` and ``sparse``.
"""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.onnx_model import ONNXModel

from mtl_edge.compress.masks import find_masks
from mtl_edge.compress.pattern import Blocks, Pattern
from mtl_edge.errors import MissingExtraError, ModelError
from mtl_edge.quantize.layers import layers_of, with_constants
from mtl_edge.quantize.prepare import prepare, quiet
from mtl_edge.quantize.rewrite import with_opset
from mtl_edge.quantize.target import Target
from mtl_edge.quantize.trim import trimmed
from mtl_edge.quantize.weights import LAYERS, bits_of_weights, with_small_weights

FormName = Literal["dynamic", "weights", "weights4", "fp16", "sparse"]

DEFAULT_PATTERN = Blocks(2, 4)

_WEIGHTED = (*LAYERS, "Gather", "LSTM")
_DYNAMIC = ("MatMulInteger", "DynamicQuantizeLSTM")
_BLOCK = 32
"""Values that share a scale: fewer take more memory, and more are less exact."""
_LARGE = 2048
"""Values; of a smaller product the scales and a kernel's overhead take more than 4 bits save."""
_OPSET_OF_4_BITS = 21
_SMALLEST_HALF = 64
"""Values; of a smaller tensor the node that makes it float takes more than is saved."""


def in_form(model: bytes, form: FormName, target: Target, pattern: Pattern = DEFAULT_PATTERN) -> tuple[bytes, ...]:
    """Write an fp32 model in another form, in every way that there is, the most exact first.

    Args:
        model: a serialized fp32 ONNX model.
        form: which.
        target: the kind of processor that will run it; only ``dynamic`` depends on it.
        pattern: of the zeros; only ``sparse`` depends on it.

    Raises:
        ModelError: the model cannot be read, is quantized already, or has nothing that could have this form.
        MissingExtraError: ONNX Runtime's quantizer for 4 bits cannot be imported.
    """
    match form:
        case "dynamic":
            return (dynamic(model, target),)
        case "weights":
            return (weights_in_8_bits(model),)
        case "weights4":
            return weights_in_4_bits(model), weights_in_4_bits(model, int8_inputs=True)
        case "fp16":
            return (weights_in_fp16(model),)
        case "sparse":
            return (weights_with_zeros(model, pattern),)


def dynamic(model: bytes, target: Target) -> bytes:
    """Matrix products (of a Gemm, too) and LSTMs with constant weights in int8, one scale per output channel.

    Their inputs are quantized as they come, to uint8. On a processor that saturates, weights have 7 bits.
    """
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as folder, quiet():
        path = Path(folder) / "dynamic.onnx"
        quantize_dynamic(
            _prepared(model),
            path,
            op_types_to_quantize=["MatMul", "LSTM"],  # a Gemm becomes a MatMul first
            per_channel=True,
            reduce_range=target.saturates,
            weight_type=QuantType.QInt8,
        )
        proto = onnx.load(path)
    if not any(node.op_type in _DYNAMIC for node in proto.graph.node):
        raise _nothing("dynamic", "a MatMul, Gemm or LSTM with constant weights")
    return trimmed(with_small_weights(proto))


def weights_in_8_bits(model: bytes) -> bytes:
    """Layers' weights in 8 bits, see :mod:`mtl_edge.quantize.weights`; all is computed in float."""
    proto = with_small_weights(_prepared(model))
    if not bits_of_weights(proto.graph):
        raise _nothing("weights", "a layer with 256 constant weights or more")
    return trimmed(proto)


def weights_in_4_bits(model: bytes, *, int8_inputs: bool = False) -> bytes:
    """Weights of large matrix products and embeddings in 4 bits, symmetric, one scale for 32 values of a channel.

    They are unpacked in every run: memory holds 4 bits, too. ``int8_inputs`` lets a product round what comes in to
    8 bits, block by block, where the processor has a kernel for that: of few rows and large weights, it is faster.
    """
    proto = _prepared(model)
    ONNXModel(proto).replace_gemm_with_matmul()
    nodes = _large(proto.graph)
    if not nodes:
        raise _nothing("weights4", f"a matrix product or an embedding with {_LARGE} constant weights or more")
    if "Gather" in nodes.values():
        proto = with_opset(proto, _OPSET_OF_4_BITS)
    quantizer_class = _four_bit_quantizer()
    with quiet():
        quantizer = quantizer_class(
            proto,
            bits=4,
            block_size=_BLOCK,
            is_symmetric=True,
            accuracy_level=4 if int8_inputs else None,
            nodes_to_exclude=[node.name for node in proto.graph.node if node.name not in nodes],
            op_types_to_quantize=tuple(set(nodes.values())),
        )
        quantizer.process()
    return trimmed(with_small_weights(quantizer.model.model))


def weights_in_fp16(model: bytes) -> bytes:
    """Constants in 16-bit floating point, made float by a Cast that every runtime folds; all is computed in float.

    What 16 bits cannot hold, above 65504, stays as it is.
    """
    proto = _prepared(model)
    graph, casts = proto.graph, []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _SMALLEST_HALF:
            continue
        values = numpy_helper.to_array(tensor)
        if not np.abs(values).max() <= np.finfo(np.float16).max:
            continue
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}_fp16"))
        casts.append(helper.make_node("Cast", [f"{tensor.name}_fp16"], [tensor.name], to=TensorProto.FLOAT))
    if not casts:
        raise _nothing("fp16", f"a float constant with {_SMALLEST_HALF} values or more")
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
    return trimmed(proto)


def weights_with_zeros(model: bytes, pattern: Pattern) -> bytes:
    """The least weights of convolutions and matrix products at zero, see :mod:`mtl_edge.compress.masks`."""
    proto = _prepared(model)
    layers = layers_of(proto.graph)
    masks = find_masks({layer.weight_name: np.moveaxis(layer.weight, layer.axis, 0) for layer in layers}, pattern)
    if all(mask.all() for mask in masks.values()):
        raise _nothing("sparse", f"a layer whose weights can have the pattern {pattern}")
    zeroed = {
        layer.weight_name: np.where(np.moveaxis(masks[layer.weight_name], 0, layer.axis), layer.weight, 0)
        for layer in layers
    }
    return with_constants(proto.SerializeToString(), zeroed)  # names and all, for it is to be quantized yet


def _prepared(model: bytes) -> onnx.ModelProto:
    """What all forms start from."""
    proto = onnx.load_from_string(prepare(model))
    tensors = {tensor.name: tensor for tensor in proto.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    for node in proto.graph.node:
        for name in node.input if node.op_type in _WEIGHTED else ():
            if name in tensors and not np.isfinite(numpy_helper.to_array(tensors[name])).all():
                raise ModelError(f"quantize: weights must be finite, found NaN or inf in {name!r}")
    return proto


def _nothing(form: FormName, needed: str) -> ModelError:
    return ModelError(f"quantize: for the form {form} the model must have {needed}, found none: nothing to quantize")


def _large(graph: onnx.GraphProto) -> dict[str, str]:
    """Name -> operator of the products and embeddings that are worth 4 bits; weights that nodes share are not."""
    tensors = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    uses = [name for node in graph.node for name in node.input]
    found = {}
    for node in graph.node:
        if node.op_type not in ("MatMul", "Gather"):
            continue
        weight = node.input[0 if node.op_type == "Gather" else 1]
        if weight not in tensors or uses.count(weight) > 1:
            continue
        dims = list(tensors[weight].dims)
        fits = node.op_type == "MatMul" or (dims[-1] % _BLOCK == 0 and not _axis(node))
        if len(dims) == 2 and np.prod(dims) >= _LARGE and fits:
            found[node.name] = node.op_type
    return found


def _axis(gather: onnx.NodeProto) -> int:
    return next((entry.i for entry in gather.attribute if entry.name == "axis"), 0)


def _four_bit_quantizer() -> Callable[..., Any]:
    """ONNX Runtime's quantizer, whose module would set up logging for the whole process if nobody has."""
    silent = logging.NullHandler()
    logging.root.addHandler(silent)
    try:
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    except ImportError as error:
        raise MissingExtraError(
            f"quantize: the form weights4 needs onnxruntime>=1.22 and the packages onnx-ir and ml-dtypes: {error}"
        ) from error
    finally:
        logging.root.removeHandler(silent)
    return MatMulNBitsQuantizer  # type: ignore[no-any-return]
