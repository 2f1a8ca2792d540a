"""Convolutions one after the other, without shortcuts: the plain network of He et al. 2016, arXiv:1512.03385.

Of a small network the runtime's work for each node costs more than the products; this trunk has the fewest nodes.
"""

from collections.abc import Sequence

from torch import nn

from mtl_edge.nets.trunks.base import ImagePool, Trunk, convolution


def plain(channels: int, width: int, depth: Sequence[int]) -> Trunk:
    """Stages of 3x3 convolutions with batch norm and ReLU, then a global average.

    Args:
        channels: channels of the input image.
        width: channels of the first stage; each further one has twice as many.
        depth: number of convolutions of each stage, the first of which halves the image.
    """
    stages: list[nn.Module] = []
    widths = [width * 2**stage for stage in range(len(depth))]
    before = channels
    for after, count in zip(widths, depth, strict=True):
        layers: list[nn.Module] = []
        for layer in range(count):
            layers += convolution(before, after, 3, stride=2 if layer == 0 else 1, padding=1)
            before = after
        stages.append(nn.Sequential(*layers))
    return Trunk(stages[0], stages[1:], ImagePool(), tuple(widths))
