"""Networks are built from recipes, and pruned ones from their weights alone."""

from pathlib import Path

import pytest
import torch

from mtl_edge.artifact import ModelInput
from mtl_edge.compress.prune import prune_channels
from mtl_edge.errors import ModelError
from mtl_edge.nets.build import build_net, load_weights
from mtl_edge.nets.checkpoint import read_weights, save_weights
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.preprocessing import Pixels
from mtl_edge.recipe import ResNetSpec
from mtl_edge.tasks import Multiclass, Regression, TargetStatistics

TASKS = (Multiclass(name="digit", target="digit", classes=10), Regression(name="size", target="size"))
STATISTICS = {"digit": TargetStatistics(), "size": TargetStatistics(mean=100.0, std=20.0)}
SPEC = ResNetSpec(width=16, depth=(1, 2))
SOURCE = ModelInput(
    name="image",
    dtype="float32",
    shape=("batch", 3, 20, 20),
    preprocessing=Pixels(raw_dtype="float32", scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3),
)


def _net() -> MultiTaskNet:
    torch.manual_seed(0)
    return build_net(SPEC, TASKS, SOURCE, STATISTICS)


def _pruned(net: MultiTaskNet, x: torch.Tensor, ratio: float = 0.5) -> MultiTaskNet:
    losses = (out.square().mean() for out in net.eval()(x).values())
    return prune_channels(net, x[:2], [sum(losses, torch.zeros(()))], ratio=ratio, round_to=8)


def test_each_task_has_an_output_of_its_width() -> None:
    """A dictionary of one array per task."""
    outputs = _net()(torch.zeros(4, 3, 20, 20))
    assert {name: tuple(out.shape) for name, out in outputs.items()} == {"digit": (4, 10), "size": (4, 1)}


def test_regression_heads_answer_in_the_target_s_own_unit() -> None:
    """An untrained head is near the target's mean, not near zero."""
    assert 50 < _net().eval()(torch.randn(64, 3, 20, 20))["size"].mean().item() < 150


def test_the_export_form_computes_the_same() -> None:
    """Folding the standardisation into the output layer changes nothing but rounding."""
    net, x = _net().eval(), torch.randn(8, 3, 20, 20)
    with torch.no_grad():
        expected, found = net(x), net.for_export()(x)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-4)


def test_pruning_leaves_its_parent_alone_and_the_outputs_in_shape() -> None:
    """A smaller copy; the parent's weights are the same afterwards."""
    net, x = _net(), torch.randn(16, 3, 20, 20)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    pruned = _pruned(net, x)
    assert pruned.parameter_count < 0.5 * net.parameter_count
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert {name: tuple(out.shape) for name, out in pruned(x).items()} == {"digit": (16, 10), "size": (16, 1)}


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.6, 0.9])
def test_channel_counts_stay_multiples_of_eight(ratio: float) -> None:
    """Whatever the ratio, no layer gets a count that the kernels dislike."""
    pruned = _pruned(_net(), torch.randn(8, 3, 20, 20), ratio)
    convolutions = [layer for layer in pruned.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert all(layer.out_channels % 8 == 0 and layer.out_channels > 0 for layer in convolutions)


def test_a_pruned_network_comes_back_from_its_weights_alone(tmp_path: Path) -> None:
    """The shapes in the checkpoint are the description: outputs are equal to the last bit."""
    x = torch.randn(8, 3, 20, 20)
    pruned = _pruned(_net(), x).eval()
    save_weights(pruned, tmp_path / "weights.safetensors")
    restored = _net()
    load_weights(restored, read_weights(tmp_path / "weights.safetensors"))
    with torch.no_grad():
        expected, found = pruned(x), restored.eval()(x)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_weights_of_another_network_are_refused() -> None:
    """A checkpoint that lacks a layer is told in one line."""
    weights = _net().state_dict()
    del weights["heads.0.output.weight"]
    with pytest.raises(ModelError, match=r"checkpoint: is that of another network: .*heads\.0\.output\.weight"):
        load_weights(_net(), weights)


def test_a_pickle_is_no_checkpoint(tmp_path: Path) -> None:
    """Weights are safetensors; anything else is refused without being executed."""
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="is not a readable safetensors file"):
        read_weights(tmp_path / "weights.pt")
