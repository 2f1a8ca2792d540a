"""Pixels, and any other regular grid of numbers: scaled and standardised per channel."""

import math
from typing import ClassVar

import msgspec
import numpy as np

from mtl_edge.preprocessing.moments import Moments

_VALUES = 1 << 18
"""How many pixels are counted at a time."""


class Pixels(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="pixels", tag_field="kind"):
    """``network input = (raw * scale - mean[channel]) / std[channel]``, in float32.

    Attributes:
        raw_dtype: numpy name of what the data holds, such as ``uint8``.
        scale: brings raw values to the range that mean and std are given in.
        mean, std: one value per channel (axis 1).
    """

    dtype: ClassVar[str] = "float32"

    raw_dtype: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def layout(self, rank: int) -> str:
        """The axes of its input: channels come second, then a place in time, in a picture, or in a volume."""
        return "NC" + {3: "T", 4: "HW", 5: "DHW"}.get(rank, "")

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Raw samples ``(N, C, …)`` -> float32 network input of the same shape."""
        channels = (1, -1) + (1,) * (raw.ndim - 2)
        factor: np.ndarray = (np.float32(self.scale) / np.asarray(self.std, np.float32)).reshape(channels)
        offset: np.ndarray = (np.asarray(self.mean, np.float32) / np.asarray(self.std, np.float32)).reshape(channels)
        values: np.ndarray = raw.astype(np.float32)
        values *= factor  # in place: a fresh array for each step costs more than the arithmetic
        values -= offset
        return values


def fit_pixels(raw: np.ndarray) -> Pixels:
    """Bring unsigned pixels to [0, 1] and standardise each channel; floating-point inputs pass unchanged.

    Args:
        raw: training inputs ``(N, C, …)``, in memory or mapped; never much of them is copied at once.
    """
    channels = raw.shape[1] if raw.ndim > 1 else 1
    if raw.dtype.kind == "f":
        return Pixels(raw_dtype=raw.dtype.name, scale=1.0, mean=(0.0,) * channels, std=(1.0,) * channels)
    scale = 1 / np.iinfo(raw.dtype).max if raw.dtype.kind == "u" else 1.0
    moments = Moments(channels)
    rows = max(_VALUES // max(math.prod(raw.shape[1:]), 1), 1)
    for start in range(0, len(raw), rows):
        part = raw[start : start + rows].reshape(-1, channels, math.prod(raw.shape[2:]))
        moments.add(part.transpose(0, 2, 1).reshape(-1, channels))
    return Pixels(
        raw_dtype=raw.dtype.name,
        scale=float(scale),
        mean=tuple(_short(value) for value in moments.mean * scale),
        std=tuple(_short(value) or 1.0 for value in moments.std * scale),
    )


def _short(value: np.floating) -> float:
    """Seven significant digits, which float32 can hold."""
    return float(f"{value:.7g}")
