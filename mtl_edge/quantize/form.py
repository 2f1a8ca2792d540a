"""What an int8 model is written from, and the same with layers of several tasks as one.

In int8 a layer costs more besides its multiplications than in fp32, so that fewer and wider layers gain more. Weights
are chosen before layers are merged: each keeps the values and the scale that it has alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

from mtl_edge.optimize.merge import Merged, merge_all
from mtl_edge.quantize.narrow import ChannelEnds


@dataclass(frozen=True)
class Form:
    """A prepared fp32 model, and what is known of it.

    Attributes:
        model: with weights that 8 bits can hold.
        original: the same graph with the weights as they were trained.
        ranges: tensor name -> the lowest and the highest value to represent.
        pinned: weight -> the axis of its channels, and the largest magnitude of each to provide for.
        merged: names of the layers that became one, with ``+`` between.
    """

    model: bytes
    original: bytes
    ranges: Mapping[str, tuple[float, float]]
    pinned: Mapping[str, ChannelEnds] = field(default_factory=dict)
    merged: tuple[str, ...] = ()


def side_by_side(form: Form) -> Form | None:
    """The form in which all layers that can be one are one; None if there are none.

    What a merged layer computes has one range, that holds those of its parts.
    """
    merged = merge_all(form.model)
    pinned = _pinned(form.pinned, merged)
    if not merged.names or pinned is None:
        return None
    ranges = dict(form.ranges)
    for name, parts in merged.tensors.items():
        if all(part in ranges for part in parts):
            lows, highs = zip(*(ranges[part] for part in parts), strict=True)
            ranges[name] = min(lows), max(highs)
    return Form(_shaped(merged.model), _shaped(merge_all(form.original).model), ranges, pinned, merged.names)


def _pinned(known: Mapping[str, ChannelEnds], merged: Merged) -> Mapping[str, ChannelEnds] | None:
    """What merged weights must provide for; None where of a layer's parts some are pinned and some are not."""
    pinned = dict(known)
    for name, parts in merged.weights.items():
        found = [pinned.pop(part) for part in parts if part in pinned]
        if found and len(found) < len(parts):
            return None
        if found:
            pinned[name] = found[0][0], np.concatenate([ends for _, ends in found])
    return pinned


def _shaped(model: bytes) -> bytes:
    """With the shapes of what new layers compute, which the quantizer asks for."""
    return bytes(onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).SerializeToString())
