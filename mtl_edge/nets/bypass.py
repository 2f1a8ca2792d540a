"""Blocks that were dropped: what stands in their place, and how a checkpoint says so."""

import copy
from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)

_MARK = "bypassed"


class Bypass(nn.Module):
    """Gives what it is given. Its empty buffer is all that a checkpoint holds of the block that was there."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(_MARK, torch.empty(0))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same tensor."""
        return x

    def folded(self) -> nn.Module:
        """The same without the mark, which is no part of an exported graph."""
        return nn.Identity()


def without_blocks(net: Net, names: Iterable[str]) -> Net:
    """A copy of a network in which some of its modules are bypassed."""
    thinner = copy.deepcopy(net)
    _bypass(thinner, names)
    return thinner


def bypass_as_in(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Bypass what the network that a checkpoint was saved from had bypassed, in place."""
    own = net.state_dict()
    marks = [key for key in weights if key.endswith(f".{_MARK}") and not weights[key].numel() and key not in own]
    modules = dict(net.named_modules())
    _bypass(net, [name for key in marks if (name := key.removesuffix(f".{_MARK}")) in modules])


def bypassed(net: nn.Module) -> tuple[str, ...]:
    """The names of those that are."""
    return tuple(name for name, module in net.named_modules() if isinstance(module, Bypass))


def _bypass(net: nn.Module, names: Iterable[str]) -> None:
    for name in names:
        parent, _, last = name.rpartition(".")
        setattr(net.get_submodule(parent), last, Bypass())
