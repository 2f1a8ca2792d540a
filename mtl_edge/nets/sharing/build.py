"""From a recipe's sharing scheme to its module."""

from collections.abc import Callable
from typing import assert_never

from torch import nn

from mtl_edge.errors import RecipeError
from mtl_edge.nets.sharing.cross_stitch import CrossStitchSharing
from mtl_edge.nets.sharing.hard import HardSharing
from mtl_edge.nets.sharing.mmoe import MMoESharing
from mtl_edge.nets.sharing.mtan import MTANSharing
from mtl_edge.nets.sharing.ple import PLESharing
from mtl_edge.nets.trunks.base import Trunk
from mtl_edge.recipe import CrossStitchSpec, HardSpec, MMoESpec, MTANSpec, PLESpec, SharingSpec


def build_sharing(spec: SharingSpec, make_trunk: Callable[[], Trunk], *, tasks: int) -> nn.Module:
    """The scheme with as many trunks as it needs.

    Raises:
        RecipeError: the scheme works on a trunk's stages, and the trunk has none.
    """

    def make_staged() -> Trunk:
        trunk = make_trunk()
        if not trunk.stages:
            kind = spec.__struct_config__.tag
            raise RecipeError(f"net.sharing: {kind!r} needs a trunk of at least one stage, found one without stages")
        return trunk

    match spec:
        case HardSpec():
            return HardSharing(make_trunk, tasks)
        case MMoESpec():
            return MMoESharing(make_staged, tasks, spec.experts)
        case PLESpec():
            return PLESharing(make_staged, tasks, spec.shared_experts, spec.task_experts)
        case CrossStitchSpec():
            return CrossStitchSharing(make_staged, tasks)
        case MTANSpec():
            return MTANSharing(make_staged, tasks)
        case _:
            assert_never(spec)
