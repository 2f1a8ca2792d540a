"""Masks over a network's weights: the least of them become zeros, and stay so while it is trained.

No kernel of ONNX Runtime on a CPU is faster for that. What it saves is bytes, once the file is compressed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mtl_edge.compress.masks import Across, find_masks
from mtl_edge.compress.outcome import Sparsified
from mtl_edge.compress.pattern import Pattern

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_WEIGHT = "weight"

Masks = Mapping[str, Tensor]
"""Layer -> which of its weights stay, in their shape."""


def mask_weights(net: nn.Module, pattern: Pattern, *, across: Across = "network") -> dict[str, Tensor]:
    """The masks of convolutions and linear layers; biases, norms and embeddings are left alone.

    Args:
        net: the trained network.
        pattern: which share stays, of all weights or of neighbours, see :func:`mtl_edge.compress.masks.find_masks`.
        across: what a share is of.
    """
    layers = [name for name, module in net.named_modules() if isinstance(module, _LAYERS)]
    weights = {name: net.get_parameter(f"{name}.{_WEIGHT}").detach().numpy() for name in layers}
    return {name: torch.from_numpy(mask) for name, mask in find_masks(weights, pattern, across=across).items()}


@contextmanager
def held(net: nn.Module, masks: Masks) -> Iterator[None]:
    """Keep weights at zero while the network is trained; in place, and afterwards for good.

    The masks of :mod:`torch.nn.utils.prune` would not let the network be copied meanwhile, as moving averages do.

    Args:
        net: its parameters have other names meanwhile.
        masks: of :func:`mask_weights`.
    """
    layers = {name: net.get_submodule(name) for name in masks}
    for name, mask in masks.items():
        parametrize.register_parametrization(layers[name], _WEIGHT, _Held(mask))
    try:
        yield
    finally:
        for layer in layers.values():
            parametrize.remove_parametrizations(layer, _WEIGHT)


def count_zeros(pattern: Pattern, masks: Masks) -> Sparsified:
    """What masks have done."""
    weights = sum(mask.numel() for mask in masks.values())
    kept = sum(int(mask.sum()) for mask in masks.values())
    return Sparsified(pattern=str(pattern), layers=len(masks), weights=weights, zeros=weights - kept)


class _Held(nn.Module):
    """A weight with zeros where its mask has none left; gradients reach only what stays."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        return torch.where(self.mask, weight, 0.0)  # type: ignore[arg-type]  # a product would leave zeros with a sign
