"""Matrix products, norms and reductions."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from mtl_edge.quantize.finetune.elementwise import Attributes


def _gemm(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x, weight = x.T if a.get("transA", 0) else x, weight.T if a.get("transB", 0) else weight
    product: Tensor = a.get("alpha", 1.0) * (x @ weight)
    return product if bias is None else product + a.get("beta", 1.0) * bias


def _layer_norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    axis = a.get("axis", -1) % x.ndim
    return functional.layer_norm(x, x.shape[axis:], scale, bias, a.get("epsilon", 1e-5))


def _batch_norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return functional.batch_norm(x, mean, variance, scale, bias, eps=a.get("epsilon", 1e-5))


def _reduced(reduce: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    """An operator over some axes, which are an attribute or, since operator set 18, an input."""

    def reduction(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen: list[int] = a.get("axes", []) if axes is None else axes.tolist()
        if not chosen and a.get("noop_with_empty_axes", 0):
            return x
        return reduce(x, chosen or list(range(x.ndim)), bool(a.get("keepdims", 1)))

    return reduction


def _arg_max(a: Attributes, x: Tensor) -> Tensor:
    return x.argmax(a.get("axis", 0), keepdim=bool(a.get("keepdims", 1)))


PRODUCTS: Mapping[str, Callable[..., Tensor]] = {
    "ArgMax": _arg_max,
    "BatchNormalization": _batch_norm,
    "Einsum": lambda a, *inputs: torch.einsum(a["equation"].decode(), *inputs),
    "Gemm": _gemm,
    "LayerNormalization": _layer_norm,
    "LogSoftmax": lambda a, x: x.log_softmax(a.get("axis", -1)),
    "MatMul": lambda a, x, y: torch.matmul(x, y),
    "ReduceL2": _reduced(lambda x, axes, keep: torch.linalg.vector_norm(x, dim=axes, keepdim=keep)),
    "ReduceMax": _reduced(lambda x, axes, keep: x.amax(axes, keep)),
    "ReduceMean": _reduced(lambda x, axes, keep: x.mean(axes, keep)),
    "ReduceMin": _reduced(lambda x, axes, keep: x.amin(axes, keep)),
    "ReduceSum": _reduced(lambda x, axes, keep: x.sum(axes, keep)),
    "Softmax": lambda a, x: x.softmax(a.get("axis", -1)),
}
