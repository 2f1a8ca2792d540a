"""What a convolution sums over: the windows of its input, as a view that copies nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def windows_of(x: np.ndarray, kernel: Sequence[int], attributes: Mapping[str, Any], padding: float = 0) -> np.ndarray:
    """The windows of ``(N, C, …)`` that a convolution sees, ``(N, C, out…, kernel…)``.

    Args:
        x: the convolution's input.
        kernel: sizes of its kernel.
        attributes: of its node, by the names that ONNX gives them.
        padding: what stands around the input.
    """
    rank = len(kernel)
    strides = _ints(attributes.get("strides"), [1] * rank)
    dilations = _ints(attributes.get("dilations"), [1] * rank)
    spans = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    pads = pads_of(x.shape[2:], spans, strides, attributes)
    padded = np.pad(x, [(0, 0), (0, 0), *pads], constant_values=padding)
    windows = sliding_window_view(padded, spans, axis=tuple(range(2, 2 + rank)))
    every = [slice(None, None, step) for step in (1, 1, *strides, *dilations)]
    return windows[tuple(every)]


def pads_of(
    sizes: Sequence[int], spans: Sequence[int], strides: Sequence[int], attributes: Mapping[str, Any]
) -> list[tuple[int, int]]:
    """What stands before and after each axis of what a convolution or a pooling sees.

    Args:
        sizes: of the input's axes.
        spans: of the kernel, from its first to its last value.
        strides: of the kernel.
        attributes: of the node, by the names that ONNX gives them.
    """
    rank, rule = len(sizes), attributes.get("auto_pad", b"NOTSET")
    if rule not in (b"SAME_UPPER", b"SAME_LOWER"):
        pads = _ints(attributes.get("pads"), [0] * 2 * rank)
        return list(zip(pads[:rank], pads[rank:], strict=True))
    totals = [
        max((-(-size // step) - 1) * step + span - size, 0)
        for size, span, step in zip(sizes, spans, strides, strict=True)
    ]
    ends = [(total // 2, total - total // 2) for total in totals]
    return ends if rule == b"SAME_UPPER" else [(high, low) for low, high in ends]


def _ints(value: object, default: list[int]) -> list[int]:
    return [int(item) for item in value] if isinstance(value, list) and value else default
