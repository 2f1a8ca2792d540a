"""Which weights of a network stay where the least of them become zeros, one by one or in patterns such as 2:4."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from mtl_edge.compress.pattern import Blocks, Pattern

Across = Literal["network", "layer"]

_LEAST = 0.01
"""Of a layer's weights, where they are compared across the network: a layer without any answers nothing, and no
training brings it back (layer collapse: Tanaka et al. 2020, arXiv:2006.05467)."""


def find_masks(
    weights: Mapping[str, np.ndarray], pattern: Pattern, *, across: Across = "network"
) -> dict[str, np.ndarray]:
    """Layer -> which of its weights stay, in their shape: the largest ones (Han et al. 2015, arXiv:1506.02626).

    Args:
        weights: layer -> ``(out, in, …)``.
        pattern: of :func:`mtl_edge.compress.pattern.read_pattern`. Of N:M, what is over at the end of the input
            channels stays whole, and so does a layer with fewer than M of them, such as a depthwise convolution.
        across: of a share: whether weights are compared across the network, of which each layer keeps a hundredth, or
            within their layer only, so that all layers lose the same share.
    """
    magnitudes = {name: np.abs(weight) for name, weight in weights.items()}
    if isinstance(pattern, Blocks):
        return {name: _largest_of_blocks(values, pattern) for name, values in magnitudes.items()}
    if across == "layer" or not magnitudes:
        return {name: _largest(values, round(pattern * values.size)) for name, values in magnitudes.items()}
    spared = 1 - min(_LEAST, (1 - pattern) / 2)
    compared = np.concatenate(
        [
            np.where(_largest(values, min(round(spared * values.size), values.size - 1)), np.inf, values).ravel()
            for values in magnitudes.values()
        ]
    )
    flat = _largest(compared, round(pattern * compared.size))
    ends = np.cumsum([values.size for values in magnitudes.values()])
    parts = np.split(flat, ends[:-1])
    return {name: part.reshape(values.shape) for part, (name, values) in zip(parts, magnitudes.items(), strict=True)}


def _largest(magnitudes: np.ndarray, leaving: int) -> np.ndarray:
    """Which of some values stay, where so many of them leave."""
    mask = np.ones(magnitudes.shape, bool)
    if leaving > 0:
        mask.flat[np.argpartition(magnitudes, leaving - 1, axis=None)[:leaving]] = False
    return mask


def _largest_of_blocks(magnitudes: np.ndarray, pattern: Blocks) -> np.ndarray:
    """Which of ``(out, in, …)`` values stay, where so many of each block along the second axis do."""
    rows = np.moveaxis(magnitudes, 1, -1)
    count = rows.shape[-1] // pattern.of
    blocks = rows[..., : count * pattern.of].reshape(*rows.shape[:-1], count, pattern.of)
    leaving = pattern.of - pattern.kept
    stays = np.ones(blocks.shape, bool)
    np.put_along_axis(stays, np.argpartition(blocks, leaving - 1, axis=-1)[..., :leaving], False, axis=-1)
    mask = np.ones(rows.shape, bool)
    mask[..., : count * pattern.of] = stays.reshape(*rows.shape[:-1], -1)
    return np.ascontiguousarray(np.moveaxis(mask, -1, 1))
