"""Conversions to 8 bits and back that change nothing, taken out of a quantized graph to the last bit.

Quantizers of other tools write them: a pair before and after each operator, though what comes out of one goes straight
into the next, and one for each reader of a tensor.
"""

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import IdentityEliminationPass
from onnxscript.rewriter import RewriteRule, rewrite
from onnxscript.rewriter import pattern as matching

from mtl_edge.graph import drop_dead, has_graphs_within

_CODES = (ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT16, ir.DataType.UINT16)
_LARGEST_CODE = 2**16
_FLOAT32 = np.finfo(np.float32)


def without_redundant_pairs(model: bytes) -> bytes:
    """Let numbers that are dequantized and quantized again the same way stay as they are, and quantize nothing twice.

    That is exact: a code times its scale, over that scale, rounds to the code. Pairs with other scales stay, as do
    several ``DequantizeLinear`` of one tensor, of which runtimes want one for each reader.

    Args:
        model: a serialized model, quantized by any tool.

    Returns:
        The model; the same bytes where nothing was redundant.
    """
    proto = onnx.load_from_string(model)
    if has_graphs_within(proto.graph):
        return model  # what a branch reads from around it is not seen here
    # Others may read the floats in between; what nobody reads is dropped in the end.
    rules = [RewriteRule(each, _as_it_was, _is_same, remove_nodes=False) for each in (_again, _again_around_zero)]
    graph = ir.from_proto(proto)
    _share_quantizers(graph)
    after = ir.to_proto(IdentityEliminationPass()(rewrite(graph, pattern_rewrite_rules=rules)).model)
    drop_dead(after.graph)
    if len(after.graph.node) == len(proto.graph.node):
        return model
    for item in (*after.graph.node, *after.graph.initializer, *after.graph.input, *after.graph.output):
        item.ClearField("metadata_props")
    return bytes(after.SerializeToString(deterministic=True))


def _again(op, codes, scale, zero, other_scale, other_zero):  # type: ignore[no-untyped-def]
    floats = op.DequantizeLinear(codes, scale, zero, _outputs=["floats"])
    return op.QuantizeLinear(floats, other_scale, other_zero, _outputs=["again"])


def _again_around_zero(op, codes, scale, other_scale):  # type: ignore[no-untyped-def]
    floats = op.DequantizeLinear(codes, scale, _outputs=["floats"])
    return op.QuantizeLinear(floats, other_scale, _outputs=["again"])


def _as_it_was(op, codes, **_: object):  # type: ignore[no-untyped-def]
    return op.Identity(codes)


def _is_same(
    context: object,
    codes: ir.Value,
    floats: ir.Value,
    again: ir.Value,
    **_: object,
) -> matching.MatchResult:
    """Both conversions go by the same constants, along the same axis, from and to the same type."""
    result = matching.MatchResult()
    before, after = floats.producer(), again.producer()
    assert before is not None
    assert after is not None
    if _form(before) is None or _form(before) != _form(after):
        return result.fail("scales, zero points or axes are others, or not constant")
    scale = before.inputs[1]
    tensor = None if scale is None else ir.convenience.get_const_tensor(scale)
    assert tensor is not None  # or it would have no form
    values = tensor.numpy()
    exact = (values >= _FLOAT32.tiny) & (values <= _FLOAT32.max / _LARGEST_CODE)
    if values.dtype != np.float32 or not exact.all():
        return result.fail("a code times its scale is not exact enough")
    if _type_of(before, codes) not in _CODES or _type_of(before, codes) != _type_of(after, again):
        return result.fail("the numbers are of other types")
    return result


def _form(node: ir.Node) -> tuple[object, ...] | None:
    """What a conversion goes by: its constants and attributes; None where it goes by what is computed."""
    found: list[object] = [tuple(sorted((name, attribute.value) for name, attribute in node.attributes.items()))]
    for value in node.inputs[1:]:
        constant = None if value is None else ir.convenience.get_const_tensor(value)
        if value is not None and constant is None:
            return None
        found.append(constant and (constant.dtype, tuple(constant.shape), constant.tobytes()))
    return tuple(found)


def _type_of(node: ir.Node, codes: ir.Value) -> ir.DataType | None:
    """The type of the codes that a conversion takes or gives; None where nothing tells."""
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    if zero is not None:
        return zero.dtype
    if node.op_type == "QuantizeLinear":
        return ir.DataType.UINT8
    maker = codes.producer()
    return _type_of(maker, codes) if maker is not None and maker.op_type == "QuantizeLinear" else codes.dtype


def _share_quantizers(model: ir.Model) -> None:
    """Let all readers of a tensor that want the same codes of it read the same ones; in place."""
    known: dict[tuple[object, ...], ir.Value] = {}
    for node in model.graph:
        form = _form(node) if node.op_type == "QuantizeLinear" and node.domain == "" else None
        if form is None:
            continue
        first = known.setdefault((id(node.inputs[0]), *form), node.outputs[0])
        if first is not node.outputs[0] and not node.outputs[0].is_graph_output():
            ir.convenience.replace_all_uses_with(node.outputs[0], first)
