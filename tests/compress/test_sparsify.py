"""Tests of :mod:`mtl_edge.compress.sparsify`."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mtl_edge.compress.pattern import Blocks, Pattern
from mtl_edge.compress.sparsify import count_zeros, held, mask_weights
from mtl_edge.nets.multitask import MultiTaskNet

PATTERNS: list[Pattern] = [Blocks(2, 4), Blocks(1, 3), 0.8]


class _Odd(nn.Sequential):
    """Layers of all kinds: six input channels are one block of four and two channels more, three are less than one."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(
            nn.Conv2d(3, 6, 3),
            nn.BatchNorm2d(6),
            nn.Conv2d(6, 6, 3, groups=6),
            nn.Conv2d(6, 8, 3),
            nn.Flatten(),
            nn.Linear(8, 5),
            nn.Embedding(4, 8),
        )


def _zeros(masks: dict[str, Tensor]) -> dict[str, float]:
    return {name: float((~mask).float().mean()) for name, mask in masks.items()}


def test_of_each_four_neighbours_the_two_largest_stay() -> None:
    """Along the input channels, at each place of a kernel; what is no whole block stays, as do norms and embeddings."""
    net = _Odd()
    masks = mask_weights(net, Blocks(2, 4))
    assert _zeros(masks) == {"0": 0.0, "2": 0.0, "3": pytest.approx(1 / 3), "5": 0.5}
    kept, weight = masks["3"], net.get_parameter("3.weight").detach().abs()
    assert bool((kept[:, :4].sum(1) == 2).all())
    assert bool(kept[:, 4:].all())
    found = count_zeros(Blocks(2, 4), masks)
    assert (found.pattern, found.layers, found.weights) == ("2:4", 4, sum(mask.numel() for mask in masks.values()))
    assert found.zeros == 8 * 2 * 9 + 5 * 4
    least_kept = weight[:, :4].where(kept[:, :4], torch.inf).amin(1)
    most_left = weight[:, :4].where(~kept[:, :4], 0.0).amax(1)
    assert bool((least_kept > most_left).all())


def test_a_share_is_of_the_network_or_of_each_layer() -> None:
    """Across the network, a layer of small weights loses more than another; what stays is larger than what leaves.

    A hundredth of a layer stays all the same.
    """
    net = _Odd()
    with torch.no_grad():
        net.get_parameter("3.weight").div_(10)
    each = mask_weights(net, 0.75, across="layer")
    assert _zeros(each) == pytest.approx(dict.fromkeys("0235", 0.75), abs=0.01)
    together = mask_weights(net, 0.75)
    assert _zeros(together)["3"] > 0.95 > 0.6 > _zeros(together)["0"]
    flat = torch.cat([mask.flatten() for mask in together.values()])
    assert float((~flat).float().mean()) == pytest.approx(0.75, abs=0.001)
    weights = torch.cat([net.get_parameter(f"{name}.weight").detach().abs().flatten() for name in together])
    assert int((weights[flat] < weights[~flat].max()).sum()) <= 0.01 * together["3"].numel()


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_no_layer_is_emptied_for_another(share: float) -> None:
    """However small a layer's weights are, its largest ones stay, and what leaves is the share that was asked for."""
    net = _Odd()
    with torch.no_grad():
        for name in ("3", "5"):
            net.get_parameter(f"{name}.weight").mul_(1e-6)
    masks = mask_weights(net, share)
    flat = torch.cat([mask.flatten() for mask in masks.values()])
    assert int((~flat).sum()) == round(share * len(flat))
    if share == 0.3:
        assert _zeros(masks)["0"] == _zeros(masks)["2"] == 0.0
    if share == 0.9:
        assert {name: int(masks[name].sum()) for name in ("3", "5")} == {"3": 4, "5": 1}
        for name in ("3", "5"):
            assert bool(masks[name].flatten()[net.get_parameter(f"{name}.weight").abs().argmax()])


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_zeros_stay_while_all_else_is_trained(
    pattern: Pattern, net: MultiTaskNet, losses: Callable[[MultiTaskNet], dict[str, Tensor]]
) -> None:
    """With momentum and decay, too; they have no sign, which would be stored; afterwards the network is as any."""
    before, names = copy.deepcopy(net), set(net.state_dict())
    masks = mask_weights(net, pattern)
    with held(net, masks):
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            torch.stack(list(losses(net).values())).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        during = net(torch.ones(2, 6))
    assert set(net.state_dict()) == names
    for name, mask in masks.items():
        weight, old = net.get_parameter(f"{name}.weight").detach(), before.get_parameter(f"{name}.weight").detach()
        assert not weight[~mask].any()
        assert not weight[~mask].signbit().any()
        assert bool((weight != old)[mask].any())
    after = net(torch.ones(2, 6))
    assert all(torch.equal(after[name], during[name]) for name in during)


def test_a_network_can_be_copied_while_its_zeros_are_held(net: MultiTaskNet) -> None:
    """As moving averages of weights do, even after it has computed gradients."""
    with held(net, mask_weights(net, 0.5)):
        net(torch.ones(2, 6))["first"].sum().backward()
        twin = copy.deepcopy(net)
        assert torch.equal(twin(torch.ones(2, 6))["first"], net(torch.ones(2, 6))["first"])
