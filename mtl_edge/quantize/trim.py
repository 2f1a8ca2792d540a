"""Small int8 files: of a small network, names and repeated constants can be a third."""

import itertools
import string
from collections import Counter
from collections.abc import Iterator

import onnx
from onnx import TensorProto, numpy_helper

from mtl_edge.graph import assumed_attributes, drop_unread_constants, has_graphs_within

_CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")
_CONVOLUTIONS = ("Conv", "ConvTranspose")
_WINDOWED = (*_CONVOLUTIONS, "AveragePool", "MaxPool")
_PLAIN = {"dilations": 1, "pads": 0, "strides": 1}


def trimmed(model: onnx.ModelProto) -> bytes:
    """The serialized model without what no runtime needs; it computes the same to the last bit.

    Dropped are shapes of inner values, which runtimes infer again, operator sets that no node uses, of which older
    runtimes refuse versions that they do not know, attributes and zero points that say what is so without them,
    constants that are there twice, and long names. Inputs, outputs and layers keep theirs, because people look for
    them.
    """
    _drop_defaults(model)
    used = {node.domain for node in model.graph.node}
    for entry in list(model.opset_import):
        if entry.domain not in used:
            model.opset_import.remove(entry)
    model.graph.ClearField("value_info")
    model.ClearField("metadata_props")
    if not has_graphs_within(model.graph):
        _drop_zero_points(model.graph)
        _share_constants(model.graph)  # a graph within a graph may name what is outside of it
        _shorten_names(model.graph)
    return bytes(model.SerializeToString(deterministic=True))


def _drop_defaults(model: onnx.ModelProto) -> None:
    """Without the attributes that have the value which their operator gives them anyway; in place."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    for node in model.graph.node:
        assumed = assumed_attributes(node, versions.get(node.domain, 1))
        if node.op_type in _WINDOWED:
            assumed += [
                item for item in node.attribute if _goes_without_saying(node.op_type, item) and item not in assumed
            ]
        for item in assumed:
            node.attribute.remove(item)


def _goes_without_saying(kind: str, item: onnx.AttributeProto) -> bool:
    """Whether this is what windows are like where nothing else is said; the schemas tell that in words only.

    The kernel of a convolution has the shape of its weights anyway.
    """
    if item.name == "kernel_shape":
        return kind in _CONVOLUTIONS
    value = _PLAIN.get(item.name)
    return value is not None and all(each == value for each in item.ints)


def _drop_zero_points(graph: onnx.GraphProto) -> None:
    """Without the zero points of biases in 32 bits, where no other than zero is allowed; in place.

    Those of weights stay, though they are zero too: ONNX Runtime has no int8 kernel for a Gemm without.
    """
    biases = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.INT32}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and len(node.input) > 2 and node.input[0] in biases:
            del node.input[2]
    drop_unread_constants(graph)


def _share_constants(graph: onnx.GraphProto) -> None:
    """One tensor for all that are equal: zero points, mostly."""
    kept: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    stands_for: dict[str, str] = {}
    for tensor in list(graph.initializer):
        if tensor.external_data:
            continue
        content = tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes()
        known = kept.setdefault(content, tensor.name)
        if known != tensor.name:
            stands_for[tensor.name] = known
            graph.initializer.remove(tensor)
    for node in graph.node:
        node.input[:] = [stands_for.get(name, name) for name in node.input]


def _shorten_names(graph: onnx.GraphProto) -> None:
    fixed = {value.name for value in (*graph.input, *graph.output)} | {""}
    uses = Counter(tensor.name for tensor in graph.initializer)
    uses.update(name for node in graph.node for name in (*node.input, *node.output))
    fresh = (name for name in _short_names() if name not in fixed)
    short = {name: name for name in fixed} | dict(
        zip((name for name, _ in uses.most_common() if name not in fixed), fresh, strict=False)
    )
    for tensor in graph.initializer:
        tensor.name = short[tensor.name]
    for node in graph.node:
        node.input[:] = [short[name] for name in node.input]
        node.output[:] = [short[name] for name in node.output]
        node.ClearField("doc_string")
        if node.op_type in _CONVERSIONS:
            node.ClearField("name")


def _short_names() -> Iterator[str]:
    """Names such as ``a`` and ``b7``, the shortest first."""
    letters, others = string.ascii_letters, string.ascii_letters + string.digits
    for length in itertools.count():
        yield from map("".join, itertools.product(letters, *[others] * length))
