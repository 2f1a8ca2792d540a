"""Batch norm over all processes is batch norm over the whole batch."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn

from mtl_edge.train.distributed import Ranks
from mtl_edge.train.norm import synced_norms


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (6, 3, 4, 5)])
def test_one_process_computes_what_torch_computes(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs, gradients and statistics, in training and in evaluation; parameters keep their names."""
    monkeypatch.setattr(dist, "all_reduce", lambda values: None)
    torch.manual_seed(0)
    norm: nn.Module = nn.BatchNorm2d(3) if len(shape) == 4 else nn.BatchNorm1d(3)
    plain = nn.Sequential(norm, nn.ReLU())
    nn.init.normal_(plain[0].weight)  # type: ignore[arg-type]
    synced = copy.deepcopy(plain)
    weights = torch.randn(shape)
    x = torch.randn(shape) + 100
    with synced_norms(synced, Ranks(0, 2)):
        assert type(synced[0]) is not type(plain[0])
        found = []
        for net in (plain, synced):
            own = x.clone().requires_grad_()
            out = net.train()(own)
            (out * weights).sum().backward()
            found.append([out, own.grad, net[0].weight.grad, net[0].bias.grad, net.eval()(x)])
    for expected, got in zip(*found, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert type(synced[0]) is type(plain[0])
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(synced.state_dict()[name], tensor)
