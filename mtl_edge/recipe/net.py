"""``[net]``: one struct for each trunk, so that each has its own keys, and one for each sharing scheme."""

from typing import Annotated

from msgspec import Meta

from mtl_edge.recipe.section import Count, Section

Counts = Annotated[tuple[Count, ...], Meta(min_length=1)]
Dropout = Annotated[float, Meta(ge=0, lt=1)]


class HardSpec(Section, frozen=True, tag_field="kind", tag="hard"):
    """All tasks read the same features."""


class MMoESpec(Section, frozen=True, tag_field="kind", tag="mmoe"):
    """Each task mixes the features of several experts."""

    experts: Annotated[int, Meta(ge=2)] = 4


class PLESpec(Section, frozen=True, tag_field="kind", tag="ple"):
    """Each task mixes the features of shared experts and of experts of its own."""

    shared_experts: Count = 2
    task_experts: Count = 1


class CrossStitchSpec(Section, frozen=True, tag_field="kind", tag="cross-stitch"):
    """Each task has a trunk; after every stage the trunks exchange what they have found."""


class MTANSpec(Section, frozen=True, tag_field="kind", tag="mtan"):
    """Each task attends to the channels and places of one trunk that matter to it."""


SharingSpec = HardSpec | MMoESpec | PLESpec | CrossStitchSpec | MTANSpec


class NetSection(Section, frozen=True, tag_field="trunk"):
    """What every net with heads of ours has: the sharing scheme, and the heads' hidden width.

    In a recipe ``sharing`` may also be the kind alone: ``sharing = "mmoe"``.
    """

    sharing: SharingSpec = HardSpec()
    head_hidden: Count = 64


class MLPSpec(NetSection, frozen=True, tag="mlp"):
    """Fully connected layers of these ``widths``, for vectors and tables.

    ``embedding`` is the number of values that stand for each categorical column.
    """

    widths: Counts = (128, 64)
    embedding: Count = 8
    dropout: Dropout = 0.0


class LeNetSpec(NetSection, frozen=True, tag="lenet"):
    """Two 5x5 convolutions of these ``widths``, and one over what is left of the image; for small images."""

    widths: tuple[Count, Count, Count] = (16, 32, 128)


class PlainSpec(NetSection, frozen=True, tag="plain"):
    """3x3 convolutions one after the other, for images; the fewest nodes, which is what small networks wait for.

    ``width`` is the number of channels of the first stage; each further stage doubles it. ``depth`` is the number of
    convolutions of each stage, the first of which halves the image.
    """

    width: Count = 32
    depth: Annotated[tuple[Count, ...], Meta(min_length=2)] = (1, 2, 2)


class ResNetSpec(NetSection, frozen=True, tag="resnet"):
    """Residual blocks, for images.

    ``width`` is the number of channels of the first stage; each further stage doubles it. ``depth`` is the number of
    blocks of each stage.
    """

    width: Count = 32
    depth: Counts = (1, 1, 1)


class MobileNetSpec(NetSection, frozen=True, tag="mobilenet"):
    """Inverted residual blocks with depthwise convolutions, for images.

    ``width`` multiplies the channels 16, 24, 32, … of the stages; ``depth`` is the number of blocks of each stage,
    ``expansion`` how much wider a block is inside.
    """

    width: Annotated[float, Meta(gt=0, le=16)] = 1.0
    depth: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=6)] = (1, 2, 2)
    expansion: Count = 4


class TextCNNSpec(NetSection, frozen=True, tag="textcnn"):
    """Parallel convolutions of several odd ``kernels`` over words, ``width`` channels each, and their maxima."""

    embedding: Count = 64
    width: Count = 64
    kernels: Counts = (3, 5, 7)
    dropout: Dropout = 0.2

    def __post_init__(self) -> None:
        for kernel in self.kernels:
            if kernel % 2 == 0:
                raise ValueError(f"kernels: must be odd, found {kernel}")


class TransformerSpec(NetSection, frozen=True, tag="transformer"):
    """A transformer encoder, for text and sequences ``(N, C, L)``.

    ``width`` is that of each position, ``depth`` the number of blocks, ``hidden`` the width inside their MLPs.
    """

    width: Count = 64
    depth: Count = 2
    heads: Count = 4
    hidden: Count = 128
    dropout: Dropout = 0.1

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width: must be a multiple of heads = {self.heads}, found {self.width}")


class TCNSpec(NetSection, frozen=True, tag="tcn"):
    """Residual blocks of dilated convolutions, for sequences ``(N, C, L)`` and text.

    ``depth`` is the number of blocks, each with twice the dilation of the one before.
    """

    width: Count = 64
    depth: Count = 4
    kernel: Count = 3
    dropout: Dropout = 0.1

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel: must be odd, found {self.kernel}")


class CustomTrunkSpec(NetSection, frozen=True, kw_only=True, tag="python:"):
    """A trunk of the user's: ``trunk = "python:pkg.mod:factory"``; ``factory`` is what follows ``python:``."""

    factory: str


class CustomNetSpec(Section, frozen=True, tag_field="trunk", tag="python:module"):
    """A whole network of the user's: ``module = "python:pkg.mod:factory"``."""

    factory: str


NetSpec = (
    MLPSpec
    | LeNetSpec
    | PlainSpec
    | ResNetSpec
    | MobileNetSpec
    | TextCNNSpec
    | TransformerSpec
    | TCNSpec
    | CustomTrunkSpec
    | CustomNetSpec
)
