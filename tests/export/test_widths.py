"""Tests of :mod:`mtl_edge.export.widths`; every trunk is looked at in ``tests/nets/test_trunks.py``."""

import torch
from torch import Tensor, nn

from mtl_edge.export.to_onnx import export_onnx
from mtl_edge.export.widths import Widths
from mtl_edge.nets.multitask import MultiTaskNet

X = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))


class Halves(nn.Module):
    """The product of two halves of its channels; how many these are becomes a constant when it is traced."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer, self.half = nn.Linear(6, width), width // 2

    def forward(self, x: Tensor) -> list[Tensor]:
        """Samples ``(N, 6)`` -> one feature ``(N, width / 2)``."""
        one, other = self.layer(x).split(self.half, dim=1)
        return [one * other]


def _net(shared: nn.Module, width: int) -> MultiTaskNet:
    torch.manual_seed(width)
    return MultiTaskNet(shared, {"size": nn.Linear(width, 1)}).eval()


def test_what_does_not_fit_is_traced_anew() -> None:
    """A width that the graph has as a constant is not that of a copy."""
    narrow = _net(Halves(8), 4)
    assert Widths(_net(Halves(16), 8), X, "x").export(narrow) == export_onnx(narrow, X[:2], "x")
