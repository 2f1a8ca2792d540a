"""Masks over weights: the least of them become zeros that stay zeros, one by one or in patterns such as 2:4.

No kernel of ONNX Runtime on a CPU is faster for that. What it saves is bytes, once the file is compressed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import L1Unstructured

from mtl_edge.compress.pattern import Blocks, Pattern

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_WEIGHT = "weight"

Masks = Mapping[str, Tensor]
"""Layer -> which of its weights stay, in their shape."""


def find_masks(
    net: nn.Module, pattern: Pattern, *, across: Literal["network", "layer"] = "network"
) -> dict[str, Tensor]:
    """Which weights of convolutions and linear layers stay: the largest ones (Han et al. 2015, arXiv:1506.02626).

    Biases, norms and embeddings are left alone.

    Args:
        net: the trained network.
        pattern: of :func:`mtl_edge.compress.pattern.read_pattern`. Of N:M, what is over at the end of the input
            channels stays whole, and so does a layer with fewer than M of them, such as a depthwise convolution.
        across: of a share: whether weights are compared within their layer only, so that all layers lose the same
            share, or across the network.
    """
    weights = {name: net.get_parameter(f"{name}.{_WEIGHT}").detach().abs() for name in _layers(net)}
    if isinstance(pattern, Blocks):
        return {name: _largest_of_blocks(weight, pattern) for name, weight in weights.items()}
    if across == "layer":
        return {name: _largest(weight, pattern) for name, weight in weights.items()}
    if not weights:
        return {}
    flat = _largest(torch.cat([weight.flatten() for weight in weights.values()]), pattern)
    parts = torch.split(flat, [weight.numel() for weight in weights.values()])
    return {name: part.view_as(weight) for (name, weight), part in zip(weights.items(), parts, strict=True)}


@contextmanager
def held(net: nn.Module, masks: Masks) -> Iterator[None]:
    """Keep weights at zero while the network is trained; in place, and afterwards for good.

    The masks of :mod:`torch.nn.utils.prune` would not let the network be copied meanwhile, as moving averages do.

    Args:
        net: its parameters have other names meanwhile.
        masks: of :func:`find_masks`.
    """
    layers = _layers(net)
    for name, mask in masks.items():
        parametrize.register_parametrization(layers[name], _WEIGHT, _Held(mask))
    try:
        yield
    finally:
        for name in masks:
            parametrize.remove_parametrizations(layers[name], _WEIGHT)


class _Held(nn.Module):
    """A weight with zeros where its mask has none left; gradients reach only what stays."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        return torch.where(self.mask, weight, 0.0)  # type: ignore[arg-type]  # a product would leave zeros with a sign


def _layers(net: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in net.named_modules() if isinstance(module, _LAYERS)}


def _largest(magnitudes: Tensor, share: float) -> Tensor:
    """Which of some values stay, where a share of them leaves."""
    found: Tensor = L1Unstructured(share).compute_mask(magnitudes, torch.ones_like(magnitudes))  # type: ignore[no-untyped-call]
    return found.bool()


def _largest_of_blocks(magnitudes: Tensor, pattern: Blocks) -> Tensor:
    """Which of ``(out, in, …)`` values stay, where so many of each block along the second axis do."""
    rows = magnitudes.movedim(1, -1)
    count = rows.shape[-1] // pattern.of
    blocks = rows[..., : count * pattern.of].reshape(*rows.shape[:-1], count, pattern.of)
    least = blocks.topk(pattern.of - pattern.kept, largest=False).indices
    stays = torch.ones_like(blocks, dtype=torch.bool).scatter(-1, least, False)
    mask = torch.ones_like(rows, dtype=torch.bool)
    mask[..., : count * pattern.of] = stays.flatten(-2)
    return mask.movedim(-1, 1).contiguous()
