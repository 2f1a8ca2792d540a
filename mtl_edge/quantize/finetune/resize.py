"""ONNX's Resize in torch: to the nearest value, or linearly between neighbours, axis after axis."""

import math
from typing import Literal

import torch
from torch import Tensor

from mtl_edge.errors import ModelError
from mtl_edge.quantize.finetune.elementwise import Attributes

_Rule = Literal["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]


def resize(
    a: Attributes, x: Tensor, region: Tensor | None = None, scales: Tensor | None = None, sizes: Tensor | None = None
) -> Tensor:
    """Resize each axis that has another size or scale than it had.

    Raises:
        ModelError: what lies between the values is not found in one of these ways.
    """
    axes = [axis % x.ndim for axis in a.get("axes", range(x.ndim))]
    if sizes is not None and sizes.numel():
        lengths = sizes.tolist()
        factors = [length / x.shape[axis] for axis, length in zip(axes, lengths, strict=True)]
    else:
        assert scales is not None  # or the graph is not valid
        factors = scales.tolist()
        lengths = [math.floor(x.shape[axis] * factor) for axis, factor in zip(axes, factors, strict=True)]
    mode, rule = a.get("mode", b"nearest"), a.get("coordinate_transformation_mode", b"half_pixel").decode()
    if mode not in (b"nearest", b"linear") or rule not in _Rule.__args__ or a.get("antialias", 0):  # type: ignore[attr-defined]
        raise ModelError(f"finetune: Resize must be nearest or linear, found {mode.decode()} with {rule}")
    for axis, length, factor in zip(axes, lengths, factors, strict=True):
        if factor == 1 and length == x.shape[axis]:
            continue
        places = _places(rule, length, x.shape[axis], factor)
        if mode == b"nearest":
            x = x.index_select(axis, _nearest(places, a.get("nearest_mode", b"round_prefer_floor"), x.shape[axis]))
        else:
            x = _between(x, axis, places)
    return x


def _places(rule: str, length: int, size: int, factor: float) -> Tensor:
    """Where in the input each value of the output lies."""
    out = torch.arange(length, dtype=torch.float32)
    match rule:
        case "align_corners":
            return out * (size - 1) / max(length - 1, 1)
        case "asymmetric":
            return out / factor
        case "pytorch_half_pixel" if length == 1:
            return torch.zeros(1)
        case _:
            return (out + 0.5) / factor - 0.5


def _nearest(places: Tensor, rule: bytes, size: int) -> Tensor:
    match rule:
        case b"floor":
            found = places.floor()
        case b"ceil":
            found = places.ceil()
        case b"round_prefer_ceil":
            found = (places + 0.5).floor()
        case _:
            found = (places - 0.5).ceil()
    return found.long().clamp(0, size - 1)


def _between(x: Tensor, axis: int, places: Tensor) -> Tensor:
    places = places.clamp(0, x.shape[axis] - 1)
    below = places.floor().long()
    above = (below + 1).clamp(max=x.shape[axis] - 1)
    share = (places - below).reshape([-1 if each == axis else 1 for each in range(x.ndim)])
    low, high = x.index_select(axis, below), x.index_select(axis, above)
    return low + (high - low) * share
