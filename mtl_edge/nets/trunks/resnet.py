"""A small residual trunk for images (He et al. 2016, arXiv:1512.03385)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from mtl_edge.nets.trunks.base import ImagePool, Trunk, convolution


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a 1x1 shortcut where the shape changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C_in, H, W)`` -> ``(N, C_out, H / stride, W / stride)``."""
        out = functional.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return functional.relu(out + self.shortcut(x))


def resnet(channels: int, width: int, depth: Sequence[int]) -> Trunk:
    """A strided stem, stages of residual blocks that halve the image and double the channels, a global average.

    Args:
        channels: channels of the input image.
        width: channels of the first stage.
        depth: number of blocks of each stage.
    """
    stem = nn.Sequential(*convolution(channels, width, 3, stride=2, padding=1))
    stages: list[nn.Module] = []
    widths = [width]
    for stage, count in enumerate(depth):
        blocks: list[nn.Module] = []
        for block in range(count):
            wide = widths[-1] if block == 0 else width * 2**stage
            blocks.append(ResidualBlock(wide, width * 2**stage, stride=2 if stage > 0 and block == 0 else 1))
        stages.append(nn.Sequential(*blocks))
        widths.append(width * 2**stage)
    return Trunk(stem, stages, ImagePool(), tuple(widths))
