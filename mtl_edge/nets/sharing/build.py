"""From a recipe's sharing scheme to its module."""

from collections.abc import Callable

from torch import nn

from mtl_edge.errors import RecipeError
from mtl_edge.nets.sharing.hard import HardSharing
from mtl_edge.nets.trunks.base import Trunk
from mtl_edge.recipe import HardSpec, SharingSpec


def build_sharing(spec: SharingSpec, make_trunk: Callable[[], Trunk], *, tasks: int) -> nn.Module:
    """The scheme with as many trunks as it needs."""
    match spec:
        case HardSpec():
            return HardSharing(make_trunk(), tasks)
        case _:
            raise RecipeError("net.sharing: only 'hard' is there yet")
