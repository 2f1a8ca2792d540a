"""Operators that look at windows: convolutions and pooling."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor
from torch.nn import functional

from mtl_edge.errors import ModelError
from mtl_edge.quantize.finetune.elementwise import Attributes
from mtl_edge.quantize.windows import pads_of

_CONV = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}
_MAX = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_AVERAGE: Mapping[int, Callable[..., Tensor]] = {
    1: functional.avg_pool1d,
    2: functional.avg_pool2d,
    3: functional.avg_pool3d,
}


def _conv(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    kernel = weight.shape[2:]
    strides, dilations = _each(a, "strides", kernel), _each(a, "dilations", kernel)
    x, left = _padded(x, kernel, strides, dilations, a, 0.0)
    return _CONV[len(kernel)](x, weight, bias, strides, left, dilations, a.get("group", 1))


def _transposed(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if a.get("output_shape") or a.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise ModelError("finetune: ConvTranspose must have its pads as numbers, found output_shape or auto_pad")
    kernel = weight.shape[2:]
    rank = len(kernel)
    pads = a.get("pads", [0] * 2 * rank)
    missing = a.get("output_padding", [0] * rank)
    dilations = _each(a, "dilations", kernel)
    y = _TRANSPOSED[rank](x, weight, bias, _each(a, "strides", kernel), 0, missing, a.get("group", 1), dilations)
    inner = [slice(start, size - end) for start, end, size in zip(pads[:rank], pads[rank:], y.shape[2:], strict=True)]
    return y[(slice(None), slice(None), *inner)]


def _max_pool(a: Attributes, x: Tensor) -> Tensor:
    kernel = a["kernel_shape"]
    strides, dilations = _each(a, "strides", kernel), _each(a, "dilations", kernel)
    x, left = _padded(x, kernel, strides, dilations, a, float("-inf"))
    return _MAX[len(kernel)](x, kernel, strides, left, dilations, bool(a.get("ceil_mode", 0)))


def _average_pool(a: Attributes, x: Tensor) -> Tensor:
    kernel = a["kernel_shape"]
    ones = [1] * len(kernel)
    pads = pads_of(x.shape[2:], kernel, _each(a, "strides", kernel), a)
    counted = bool(a.get("count_include_pad", 0))
    if _each(a, "dilations", kernel) != ones or (any(low != high for low, high in pads) and not counted):
        raise ModelError("finetune: AveragePool must have even pads and no dilations, found others")
    x, left = _padded(x, kernel, _each(a, "strides", kernel), ones, a, 0.0)
    ceil = bool(a.get("ceil_mode", 0))
    return _AVERAGE[len(kernel)](x, kernel, _each(a, "strides", kernel), left, ceil, counted)


def _padded(
    x: Tensor, kernel: Sequence[int], strides: list[int], dilations: list[int], a: Attributes, value: float
) -> tuple[Tensor, list[int]]:
    """The input, and the padding that is left to the operator itself, which pads both ends of an axis alike."""
    spans = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    pads = pads_of(x.shape[2:], spans, strides, a)
    small = all(2 * low <= size for (low, _), size in zip(pads, kernel, strict=True))
    if small and all(low == high for low, high in pads):
        return x, [low for low, _ in pads]
    return functional.pad(x, [end for pair in reversed(pads) for end in pair], value=value), [0] * len(pads)


def _each(a: Attributes, name: str, kernel: Sequence[int]) -> list[int]:
    found: list[int] = a.get(name) or [1] * len(kernel)
    return found


def _axes(x: Tensor) -> list[int]:
    return list(range(2, x.ndim))


SLIDING: Mapping[str, Callable[..., Tensor]] = {
    "AveragePool": _average_pool,
    "Conv": _conv,
    "ConvTranspose": _transposed,
    "GlobalAveragePool": lambda a, x: x.mean(_axes(x), keepdim=True),
    "GlobalMaxPool": lambda a, x: x.amax(_axes(x), keepdim=True),
    "MaxPool": _max_pool,
}
