"""Tests of :mod:`mtl_edge.nets.bypass`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mtl_edge.artifact import ModelInput
from mtl_edge.errors import ModelError
from mtl_edge.export.to_onnx import export_onnx
from mtl_edge.nets.build import build_net, load_weights
from mtl_edge.nets.bypass import bypassed, without_blocks
from mtl_edge.nets.checkpoint import read_weights, save_weights
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.recipe import ResNetSpec
from mtl_edge.tasks import Regression, TargetStatistics
from mtl_edge.train.average import make_average

BLOCK = "sharing.trunk.stages.0.1"
X = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def make(source: Callable[..., ModelInput]) -> Callable[[tuple[int, ...]], MultiTaskNet]:
    """A residual network of so many blocks in each stage."""

    def build(depth: tuple[int, ...] = (2,)) -> MultiTaskNet:
        tasks = (Regression(name="size", target="size"),)
        return build_net(ResNetSpec(width=8, depth=depth), tasks, source(1, 8, 8), {"size": TargetStatistics()}).eval()

    return build


def test_a_bypassed_block_gives_what_it_is_given(make: Callable[..., MultiTaskNet]) -> None:
    """The network that was copied keeps it."""
    net = make()
    thinner = without_blocks(net, [BLOCK])
    maps = []
    thinner.get_submodule("sharing.trunk.stages.0").register_forward_hook(lambda *call: maps.append(call[2]))
    thinner.get_submodule("sharing.trunk.stages.0.0").register_forward_hook(lambda *call: maps.append(call[2]))
    thinner(X)
    assert torch.equal(*maps)
    assert bypassed(thinner) == (BLOCK,)
    assert bypassed(net) == ()
    assert thinner.parameter_count < net.parameter_count


def test_a_network_without_blocks_comes_back_from_its_weights_alone(
    make: Callable[..., MultiTaskNet], tmp_path: Path
) -> None:
    """Narrower or not; what it computes is the same to the last bit."""
    thinner = without_blocks(make(), [BLOCK])
    save_weights(thinner, tmp_path / "weights.safetensors")
    back = make()
    load_weights(back, read_weights(tmp_path / "weights.safetensors"))
    assert bypassed(back) == (BLOCK,)
    assert torch.equal(back.eval()(X)["size"], thinner(X)["size"])


def test_a_shallower_network_is_another_network(make: Callable[..., MultiTaskNet]) -> None:
    """Blocks that a checkpoint just lacks were not dropped: it says so of those that were."""
    with pytest.raises(ModelError, match="is that of another network"):
        load_weights(make(), make((1,)).state_dict())


def test_a_bypass_is_no_node_and_no_tensor(make: Callable[..., MultiTaskNet]) -> None:
    """The exported graph has two convolutions less, and nothing of the mark."""
    net = make()
    nets = (net, without_blocks(net, [BLOCK]))
    graphs = [onnx.load_from_string(export_onnx(each, X[:2], "x")).graph for each in nets]
    convolutions = [sum(node.op_type == "Conv" for node in graph.node) for graph in graphs]
    assert convolutions[1] == convolutions[0] - 2
    assert all(np.prod(tensor.dims) for tensor in graphs[1].initializer)


def test_a_moving_average_is_taken_of_it(make: Callable[..., MultiTaskNet]) -> None:
    """The empty mark is no obstacle."""
    net = without_blocks(make(), [BLOCK])
    average = make_average(net, 0.9)
    average.update_parameters(net)
    assert torch.equal(average.module(X)["size"], net(X)["size"])
