"""Operators that move values about, and those that compute with shapes."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional

from mtl_edge.quantize.finetune.elementwise import Attributes


def _reshape(a: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    wanted = shape.tolist()
    if not a.get("allowzero", 0):
        wanted = [size or x.shape[axis] for axis, size in enumerate(wanted)]
    return x.reshape(wanted)


def _flatten(a: Attributes, x: Tensor) -> Tensor:
    axis = a.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _transpose(a: Attributes, x: Tensor) -> Tensor:
    return x.permute(a.get("perm", list(reversed(range(x.ndim)))))


def _squeeze(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(tuple(axes.tolist()))


def _unsqueeze(a: Attributes, x: Tensor, axes: Tensor) -> Tensor:
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes.tolist()):
        x = x.unsqueeze(axis)
    return x


def _split(a: Attributes, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis = a.get("axis", 0)
    if sizes is not None:
        return torch.split(x, sizes.tolist(), axis)
    return torch.split(x, -(-x.shape[axis] // a["num_outputs"]), axis)


def _slice(
    a: Attributes, x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
) -> Tensor:
    chosen = range(len(starts)) if axes is None else axes.tolist()
    strides = [1] * len(starts) if steps is None else steps.tolist()
    for axis, start, end, step in zip(chosen, starts.tolist(), ends.tolist(), strides, strict=True):
        size = x.shape[axis]
        if step < 0:  # such as ends at the lowest number there is, which python would count from behind
            start, end = start + size if start < 0 else start, end + size if end < 0 else end
            places = range(min(start, size - 1), max(end, -1), step)
        else:
            places = range(*slice(start, end, step).indices(size))
        x = x.index_select(axis, torch.tensor(places, dtype=torch.int64, device=x.device))
    return x


def _gather(a: Attributes, x: Tensor, indices: Tensor) -> Tensor:
    axis = a.get("axis", 0) % x.ndim
    indices = indices.long()
    places = torch.where(indices < 0, indices + x.shape[axis], indices)
    found = x.index_select(axis, places.reshape(-1))
    return found.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _shape(a: Attributes, x: Tensor) -> Tensor:
    return torch.tensor(x.shape[a.get("start", 0) : a.get("end")], dtype=torch.int64)


def _filled(a: Attributes, shape: Tensor) -> Tensor:
    value = torch.from_numpy(numpy_helper.to_array(a["value"]).copy()) if "value" in a else torch.zeros(1)
    return value.expand(shape.tolist())


def _expand(a: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(np.broadcast_shapes(x.shape, tuple(shape.tolist())))


def _pad(a: Attributes, x: Tensor, pads: Tensor, value: Tensor | None = None, axes: Tensor | None = None) -> Tensor:
    chosen = [axis % x.ndim for axis in (range(x.ndim) if axes is None else axes.tolist())]
    ends = dict(zip(chosen, zip(*pads.reshape(2, -1).tolist(), strict=True), strict=True))
    rank = next((axis for axis in range(x.ndim) if any(ends.get(axis, (0, 0)))), x.ndim)
    flat = [end for axis in reversed(range(rank, x.ndim)) for end in ends.get(axis, (0, 0))]
    match a.get("mode", b"constant"):
        case b"constant":
            return functional.pad(x, flat, value=0.0 if value is None else float(value))
        case b"edge":
            return functional.pad(x, flat, "replicate")
        case mode:
            return functional.pad(x, flat, mode.decode())


SHAPES: Mapping[str, Callable[..., Tensor | tuple[Tensor, ...]]] = {
    "Concat": lambda a, *inputs: torch.cat(inputs, a["axis"]),
    "ConstantOfShape": _filled,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Pad": _pad,
    "Range": lambda a, start, end, step: torch.arange(start.item(), end.item(), step.item(), dtype=start.dtype),
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": lambda a, x, repeats: x.repeat(repeats.tolist()),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
