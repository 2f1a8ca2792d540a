"""A small trunk of inverted residual blocks for images (Sandler et al. 2018, arXiv:1801.04381)."""

from collections.abc import Sequence

from torch import Tensor, nn

from mtl_edge.nets.trunks.base import ImagePool, Trunk

_WIDTHS = (16, 24, 32, 64, 96, 160)


class InvertedResidual(nn.Module):
    """Widen with a 1x1 convolution, look around with a depthwise 3x3 one, narrow with a linear 1x1 one."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = channels_in * expansion
        self.widen = nn.Sequential(*_convolution(channels_in, inside, 1)) if expansion > 1 else nn.Identity()
        self.look = nn.Sequential(*_convolution(inside, inside, 3, stride, groups=inside))
        self.narrow = nn.Sequential(nn.Conv2d(inside, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out))
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C_in, H, W)`` -> ``(N, C_out, H / stride, W / stride)``."""
        out: Tensor = self.narrow(self.look(self.widen(x)))
        return x + out if self.residual else out


def mobilenet(channels: int, width: float, depth: Sequence[int], expansion: int) -> Trunk:
    """A strided stem, stages of inverted residual blocks that halve the image, a global average.

    Args:
        channels: channels of the input image.
        width: multiplies the channels of every stage; counts are rounded to multiples of 8.
        depth: number of blocks of each stage, of which there are at most six.
        expansion: how much wider a block is inside.
    """
    widths = [max(8, round(wide * width / 8) * 8) for wide in _WIDTHS[: len(depth)]]
    stem = nn.Sequential(*_convolution(channels, widths[0], 3, stride=2))
    stages: list[nn.Module] = []
    before = widths[0]
    for stage, (wide, count) in enumerate(zip(widths, depth, strict=True)):
        blocks: list[nn.Module] = []
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            blocks.append(InvertedResidual(before, wide, stride, expansion))
            before = wide
        stages.append(nn.Sequential(*blocks))
    return Trunk(stem, stages, ImagePool(), (widths[0], *widths))


def _convolution(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> tuple[nn.Module, ...]:
    # ReLU6 bounds the ranges, so that 8 bits resolve them; ONNX Runtime fuses its Clip into the convolution, in float
    # as well as in int8, as it does with ReLU.
    convolution = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return convolution, nn.BatchNorm2d(after), nn.ReLU6()
