"""LeNet-5 for small images (LeCun et al. 1998), with ReLU, batch norm and maxima, which train better."""

from torch import nn

from mtl_edge.nets.trunks.base import ImagePool, Trunk, convolution


def lenet(channels: int, size: tuple[int, int], widths: tuple[int, int, int]) -> Trunk:
    """Convolutions 5x5, halved, 5x5, halved, and one as large as what is left, which so gives one vector.

    Args:
        channels: channels of the input image.
        size: height and width of the input image, at least 4.
        widths: channels of the three convolutions.
    """
    first, second, third = widths
    left = (size[0] // 4, size[1] // 4)
    stages = [
        nn.Sequential(nn.MaxPool2d(2), *convolution(first, second, (5, 5), padding=2)),
        nn.Sequential(nn.MaxPool2d(2), *convolution(second, third, left, padding=0)),
    ]
    stem = nn.Sequential(*convolution(channels, first, (5, 5), padding=2))
    return Trunk(stem, list(stages), ImagePool(), (first, second, third))
