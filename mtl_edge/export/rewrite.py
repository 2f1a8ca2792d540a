"""Exact rewrites of an exported graph into the operators that ONNX Runtime has the best kernels for."""

import onnx_ir as ir
from onnxscript.rewriter import RewriteRule, rewrite
from onnxscript.rewriter import pattern as matching


def use_global_average_pool(model: ir.Model) -> ir.Model:
    """``ReduceMean`` over both image axes becomes ``GlobalAveragePool``, which also has an int8 kernel.

    The dynamo exporter decomposes ``AdaptiveAvgPool2d(1)`` into a mean, which would stay in float after quantization.
    """
    return rewrite(model, pattern_rewrite_rules=[RewriteRule(_mean, _pool, _is_global)])


def _mean(op, x, axes):  # type: ignore[no-untyped-def]
    return op.ReduceMean(x, axes, keepdims=1, _outputs=["mean"])


def _pool(op, x, **_: object):  # type: ignore[no-untyped-def]
    return op.GlobalAveragePool(x)


def _is_global(context: object, x: ir.Value, axes: ir.Value, **_: object) -> matching.MatchResult:
    result = matching.MatchResult()
    constant = ir.convenience.get_const_tensor(axes)
    if x.shape is None or len(x.shape) != 4 or constant is None:
        return result.fail("not an image, or the axes are not known")
    if sorted(int(axis) % 4 for axis in constant.numpy()) != [2, 3]:
        return result.fail("the mean is not over height and width")
    return result
