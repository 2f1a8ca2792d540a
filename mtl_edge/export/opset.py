"""The operator set of a model, and the version of its file format: older runtimes read older ones.

Most new versions of an operator only allow more types, so most nodes mean the same in an older set. A model is moved
there by its label where every node is valid so; else onnx's own converter rewrites what it can.
"""

from collections.abc import Iterator, Mapping

import onnx
from onnx import checker, helper, numpy_helper, shape_inference, version_converter

from mtl_edge.errors import ModelError, last_words
from mtl_edge.export.edit import OLDEST_OPSET, is_onnx, opset_of

NEWEST = int(onnx.defs.onnx_opset_version())
"""The newest operator set that the onnx package describes."""


def convert_opset(model: bytes, opset: int) -> bytes:
    """The same network in another operator set, and in the oldest file format that this set allows.

    Whether it computes the same must be checked by running it: see :mod:`mtl_edge.export.hops`.

    Args:
        model: a serialized model.
        opset: of ONNX's own operators; the versions of other domains stay.

    Raises:
        ModelError: an operator does not exist in that set, or cannot be written in it; each is named.
    """
    proto = onnx.load_from_string(model)
    if opset == opset_of(proto):
        return _in_oldest_format(proto)
    labelled = _labelled(proto, opset)
    faults = dict.fromkeys(_faults(labelled))
    if not faults and (said := _invalid(labelled)) is None:
        return _in_oldest_format(labelled)
    try:
        converted = version_converter.convert_version(proto, opset)
        said = _invalid(converted)
    except Exception as error:  # the converter's own exception types are not public
        said = last_words(error)
    if said is not None:
        because = "; ".join(faults) or said
        raise ModelError(f"opset: the model cannot be written in operator set {opset}: {because}")
    return _in_oldest_format(converted)


def _labelled(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model with another number on it, without attributes that are new since then and say nothing new."""
    before = opset_of(proto)
    out = onnx.ModelProto()
    out.CopyFrom(proto)
    for entry in out.opset_import:
        if is_onnx(entry.domain):
            entry.version = opset
    constants = {tensor.name: tensor for tensor in out.graph.initializer}
    for node in _nodes(out.graph):
        if not (is_onnx(node.domain) and _exists(node.op_type, before) and _exists(node.op_type, opset)):
            continue
        here, there = (onnx.defs.get_schema(node.op_type, number).attributes for number in (before, opset))
        for item in [item for item in node.attribute if item.name not in there and item.name in here]:
            if item == here[item.name].default_value or _means_nothing(node, item, constants):
                node.attribute.remove(item)
    return out


def _means_nothing(node: onnx.NodeProto, item: onnx.AttributeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """What a 0 in a shape means is of no matter where the shape has none."""
    shape = constants.get(node.input[1]) if node.op_type == "Reshape" and item.name == "allowzero" else None
    return shape is not None and bool(numpy_helper.to_array(shape).all())


def _faults(proto: onnx.ModelProto) -> Iterator[str]:
    """Which operators do not exist in the model's operator set, or have not the attributes or inputs that are used."""
    opset = opset_of(proto)
    context = checker.C.CheckerContext()
    context.ir_version = onnx.IR_VERSION
    context.opset_imports = {entry.domain: entry.version for entry in proto.opset_import} | {"": opset}
    for node in _nodes(proto.graph):
        if not is_onnx(node.domain) or not onnx.defs.has(node.op_type):
            continue
        if not _exists(node.op_type, opset):
            since = [number for number in range(OLDEST_OPSET, NEWEST + 1) if _exists(node.op_type, number)]
            yield f"{node.op_type} exists in {since[0]} to {since[-1]}"
            continue
        try:
            checker.check_node(node, context)
        except checker.ValidationError as error:
            yield f"{node.op_type}: {_first_line(error)}"


def _exists(kind: str, opset: int) -> bool:
    try:
        schema = onnx.defs.get_schema(kind, opset)
    except onnx.defs.SchemaError:
        return False
    return not schema.deprecated


def _invalid(proto: onnx.ModelProto) -> str | None:
    """What the checker says of types and shapes, or None."""
    try:
        shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # the inference's own exception types are not public
        return _first_line(error)
    return None


def _in_oldest_format(proto: onnx.ModelProto) -> bytes:
    """The version of the file format only says which fields there may be, but a runtime refuses one that is newer."""
    needed = helper.find_min_ir_version_for(
        [entry for entry in proto.opset_import if is_onnx(entry.domain)], ignore_unknown=True
    )
    proto.ir_version = min(int(proto.ir_version), max(needed, 8 if proto.functions else 0))
    return bytes(proto.SerializeToString(deterministic=True))


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
