"""Exact rewrites of an exported graph into the operators that ONNX Runtime has the best kernels for."""

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import RewriteRule, rewrite
from onnxscript.rewriter import pattern as matching


def use_global_average_pool(model: ir.Model) -> ir.Model:
    """``ReduceMean`` over all axes of an image or a sequence becomes ``GlobalAveragePool``, which has an int8 kernel.

    The dynamo exporter decomposes ``AdaptiveAvgPool2d(1)`` into a mean, which would stay in float after quantization.
    """
    return rewrite(model, pattern_rewrite_rules=[RewriteRule(_mean, _pool, _is_global)])


def unsign_zeros(model: ir.Model) -> None:
    """Zeros among the weights lose their signs; in place.

    Where a batch norm with a negative scale is folded into a layer, the layer's zeros become negative ones: the same
    values, but in a compressed file a bit of noise each.
    """
    for value in model.graph.initializers.values():
        array = value.const_value.numpy() if value.const_value is not None else None
        if array is not None and array.dtype.kind == "f" and (np.signbit(array) & (array == 0)).any():
            value.const_value = ir.tensor(array + array.dtype.type(0), name=value.name)


def _mean(op, x, axes):  # type: ignore[no-untyped-def]
    return op.ReduceMean(x, axes, keepdims=1, _outputs=["mean"])


def _pool(op, x, **_: object):  # type: ignore[no-untyped-def]
    return op.GlobalAveragePool(x)


def _is_global(context: object, x: ir.Value, axes: ir.Value, **_: object) -> matching.MatchResult:
    result = matching.MatchResult()
    constant = ir.convenience.get_const_tensor(axes)
    rank = 0 if x.shape is None else len(x.shape)
    if rank not in (3, 4) or constant is None:
        return result.fail("neither image nor sequence, or the axes are not known")
    if sorted(int(axis) % rank for axis in constant.numpy()) != list(range(2, rank)):
        return result.fail("the mean is not over everything but batch and channels")
    return result
