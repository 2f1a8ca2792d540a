"""Rewrites of single graphs by onnxscript's rules: less to run, the same function."""

import onnx
import onnx_ir as ir
from onnxscript import optimizer
from onnxscript.rewriter import RewriteRule, rewrite
from onnxscript.rewriter import pattern as matching

from mtl_edge.graph import drop_dead


def rewritten(model: bytes) -> bytes:
    """Fold constants, drop what does nothing, and use operators that do the work of several.

    That is: identities, dropout, casts and reshapes that cancel out or follow each other, pads before convolutions,
    what is computed twice, and biases added after matrix products. Where ONNX Runtime fuses the like when it loads a
    model, time is not won, but the graph is smaller for other runtimes.

    Args:
        model: a serialized fp32 model; inputs, outputs and operator set stay as they are.
    """
    proto = onnx.load_from_string(model)
    simpler = optimizer.optimize(ir.from_proto(proto), input_size_limit=1 << 20, output_size_limit=1 << 20)
    fused = ir.to_proto(rewrite(simpler, pattern_rewrite_rules=[RewriteRule(_product_and_bias, _gemm, _is_layer)]))
    fused.ir_version = proto.ir_version
    drop_dead(fused.graph)
    fused.graph.ClearField("value_info")
    fused.graph.ClearField("metadata_props")
    for item in (*fused.graph.node, *fused.graph.initializer, *fused.graph.input, *fused.graph.output):
        item.ClearField("metadata_props")
    return bytes(fused.SerializeToString(deterministic=True))


def _product_and_bias(op, x, weight, bias):  # type: ignore[no-untyped-def]
    return op.Add(op.MatMul(x, weight), bias)


def _gemm(op, x, weight, bias):  # type: ignore[no-untyped-def]
    return op.Gemm(x, weight, bias)


def _is_layer(context: object, x: ir.Value, weight: ir.Value, bias: ir.Value, **_: object) -> matching.MatchResult:
    """Stricter than the library's own rule, which also takes biases that would widen the product."""
    result = matching.MatchResult()
    factor, offset = (ir.convenience.get_const_tensor(value) for value in (weight, bias))
    if x.shape is None or len(x.shape) != 2 or factor is None or offset is None:
        return result.fail("the input is no matrix, or weights or bias are not constant")
    if len(factor.shape) != 2 or tuple(offset.shape) != (factor.shape[1],):
        return result.fail("the bias is not one number for each column")
    return result
