"""``[net]``."""

from typing import Annotated, Literal

from msgspec import Meta

from mtl_edge.recipe.section import Count, Section


class NetSpec(Section, frozen=True):
    """``[net]``: the shared trunk and the heads' hidden width.

    ``width`` is the number of channels of the trunk's first stage; each further stage doubles it. ``depth`` is the
    number of residual blocks of each stage.
    """

    trunk: Literal["resnet"]
    width: Count = 32
    depth: Annotated[tuple[Count, ...], Meta(min_length=1)] = (1, 1, 1)
    head_hidden: Count = 64
