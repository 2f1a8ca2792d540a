"""Tests of :mod:`mtl_edge.compress.dependencies`."""

import pytest
import torch
from torch import Tensor, nn

from mtl_edge.compress.dependencies import trace
from mtl_edge.errors import ModelError
from mtl_edge.nets.multitask import MultiTaskNet


class _Numbers(nn.Module):
    """Leaves torch on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 8)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [torch.from_numpy(self.layer(x).numpy())]


def test_code_that_cannot_be_followed_is_told_with_its_module_and_line() -> None:
    """One line: where, why, and what to do."""
    net = MultiTaskNet(_Numbers(), {"first": nn.Linear(8, 1)})
    with pytest.raises(ModelError) as caught:
        trace(net.eval(), torch.zeros(2, 6))
    message = str(caught.value)
    assert message.startswith("compress.prune: the network's channels cannot be followed in sharing at test_depend")
    assert "(return [torch.from_numpy(self.layer(x).numpy())])" in message
    assert "\n" not in message
    assert message.endswith("or do without pruning: ratio = 0")
