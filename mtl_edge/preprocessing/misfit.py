"""Whether what is done to raw samples fits the input that it is done for."""

import math

from mtl_edge.preprocessing.features import Features
from mtl_edge.preprocessing.pixels import Pixels
from mtl_edge.preprocessing.raw import RawCategories, RawNumbers, RawPixels
from mtl_edge.preprocessing.table import Table
from mtl_edge.preprocessing.tokens import Tokens

Steps = Pixels | Table | Tokens | RawPixels | RawNumbers | RawCategories | Features
Shape = tuple[int | str, ...]

_DTYPES = frozenset(
    (*(f"{kind}int{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)), "bool", "float16", "float32", "float64")
)


def misfit(steps: Steps, shape: Shape) -> str | None:
    """Why these steps cannot be those of an input of this shape, or None."""
    if not shape or any(isinstance(size, int) and size < 0 for size in shape):
        return f"the shape must have an axis for samples and no size below 0, found {list(shape)}"
    match steps:
        case Pixels():
            return _pixels_misfit(steps, shape[1] if len(shape) > 1 else 1)
        case RawPixels(pixels=pixels, size=None):
            return _pixels_misfit(pixels, shape[1] if len(shape) > 1 else 1)
        case RawPixels(pixels=pixels):
            return _pixels_misfit(pixels, shape[3]) if len(shape) == 4 else _unequal("axes", 4, len(shape))
        case Table(columns=columns):
            return _columns_misfit(len(columns), shape)
        case Tokens(length=length):
            return _columns_misfit(length, shape)
        case RawNumbers(places=places, of=of) | RawCategories(places=places, of=of):
            if any(not 0 <= place < of for place in places) or len(places) != len(steps.columns):
                return f"each of {len(steps.columns)} columns must have a place among {of}, found {list(places)}"
            return _columns_misfit(len(places), shape)
        case Features(dtype=dtype):
            return None if dtype in _DTYPES else f"the dtype must be one of numbers, found {dtype!r}"


def _pixels_misfit(pixels: Pixels, channels: int | str) -> str | None:
    if pixels.raw_dtype not in _DTYPES:
        return f"the raw dtype must be one of numbers, found {pixels.raw_dtype!r}"
    if not all(map(math.isfinite, (pixels.scale, *pixels.mean, *pixels.std))) or 0 in pixels.std:
        return "scale, mean and std must be finite, and no std 0"
    for name, values in (("mean", pixels.mean), ("std", pixels.std)):
        if len(values) not in (1, channels) and isinstance(channels, int):
            return _unequal(f"values of {name}", channels, len(values))
    return None if len(pixels.mean) == len(pixels.std) else _unequal("values of std", len(pixels.mean), len(pixels.std))


def _columns_misfit(count: int, shape: Shape) -> str | None:
    if len(shape) != 2:
        return _unequal("axes", 2, len(shape))
    return None if shape[1] == count or isinstance(shape[1], str) else _unequal("columns", count, shape[1])


def _unequal(what: str, wanted: int, found: int | str) -> str:
    return f"there must be {wanted} {what}, found {found}"
