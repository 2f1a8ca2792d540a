"""Dense heads give one output per pixel, whatever the image's size and the trunk's strides."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from mtl_edge.artifact import ModelInput
from mtl_edge.compress.prune import prune_channels
from mtl_edge.errors import RecipeError
from mtl_edge.export.parity import check_parity
from mtl_edge.export.to_onnx import export_onnx
from mtl_edge.nets.build import build_net, load_weights
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.quantize.static import quantize_static
from mtl_edge.recipe import LeNetSpec, MLPSpec, MobileNetSpec, NetSpec, ResNetSpec
from mtl_edge.tasks import Multiclass, TargetStatistics


@dataclass(frozen=True)
class Dense:
    """As much of a task with one label per pixel as a network needs."""

    name: str
    width: int
    dense: bool = True


TASKS = (Dense("mask", 3), Dense("depth", 1), Multiclass(name="kind", target="kind", classes=4))
STATISTICS = {"mask": TargetStatistics(), "depth": TargetStatistics(mean=10.0, std=3.0), "kind": TargetStatistics()}


def _outputs(net: MultiTaskNet, x: torch.Tensor) -> dict[str, np.ndarray]:
    with torch.no_grad():
        return {name: out.numpy() for name, out in net.eval()(x).items()}


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        (ResNetSpec(width=8, depth=(1, 1, 1), head_hidden=8), (36, 36)),
        (ResNetSpec(width=8, depth=(1, 1), head_hidden=8), (28, 17)),
        (MobileNetSpec(width=0.5, depth=(1, 1), head_hidden=8), (9, 7)),
        (LeNetSpec(widths=(8, 8, 8), head_hidden=8), (13, 10)),
    ],
)
def test_outputs_have_the_size_of_the_image(
    spec: NetSpec, size: tuple[int, int], source: Callable[..., ModelInput]
) -> None:
    """Odd sizes included; other tasks of the same network keep one output per sample."""
    net = build_net(spec, TASKS, source(2, *size), STATISTICS)
    shapes = {name: out.shape for name, out in _outputs(net, torch.zeros(3, 2, *size)).items()}
    assert shapes == {"mask": (3, 3, *size), "depth": (3, 1, *size), "kind": (3, 4)}


def test_a_dense_network_goes_all_the_way(source: Callable[..., ModelInput]) -> None:
    """It learns, is pruned, comes back from its weights, exports, and quantizes to int8 convolutions alone."""
    torch.manual_seed(0)
    reads = source(1, 14, 11)
    spec = ResNetSpec(width=16, depth=(1, 1), head_hidden=16)
    net = build_net(spec, TASKS, reads, STATISTICS)
    x = torch.randn(32, 1, 14, 11)
    classes, depth = (x[:, 0] > 0).long(), 10 + 3 * x[:, :1]

    def loss() -> torch.Tensor:
        outputs = net(x)
        masks = torch.nn.functional.cross_entropy(outputs["mask"], classes)
        return masks + ((outputs["depth"] - depth) / 3).square().mean() + outputs["kind"].square().mean()

    optimizer = torch.optim.AdamW(net.parameters(), 1e-2)
    before = loss().item()
    for _ in range(20):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < 0.7 * before
    net.eval()
    pruned = prune_channels(net, x[:2], [loss()], ratio=0.5, round_to=8)
    assert pruned.parameter_count < 0.4 * net.parameter_count
    restored = build_net(spec, TASKS, reads, STATISTICS)
    load_weights(restored, pruned.state_dict())
    expected = _outputs(restored, x)
    model = export_onnx(restored, x[:2], "x")
    for content, close in ((model, True), (quantize_static(model, [{"x": x.numpy()}]), False)):
        found = onnxruntime.InferenceSession(content).run(list(expected), {"x": x.numpy()})
        if close:
            check_parity(expected, dict(zip(expected, found, strict=True)))
        for out, name in zip(found, expected, strict=True):
            assert out.shape == expected[name].shape
            assert np.sqrt(((out - expected[name]) ** 2).mean()) < 0.1 * expected[name].std()


def test_the_decoder_is_made_of_operators_with_int8_kernels(source: Callable[..., ModelInput]) -> None:
    """The standardisation of a dense regression is inside its last convolution."""
    net = build_net(ResNetSpec(width=8, depth=(1, 1), head_hidden=8), TASKS[1:2], source(1, 10, 10), STATISTICS)
    graph = onnx.load_from_string(export_onnx(net, torch.zeros(2, 1, 10, 10), "x")).graph
    assert {node.op_type for node in graph.node} == {"Conv", "Relu", "Add", "Resize", "Slice"}
    assert graph.node[-1].op_type == "Conv"


def test_dense_tasks_need_images(source: Callable[..., ModelInput]) -> None:
    """The message names the task, and what there is in place of maps."""
    with pytest.raises(RecipeError, match=r"tasks.mask: a task with one label per pixel needs an image .*\(12,\)"):
        build_net(MLPSpec(widths=(8,)), TASKS, source(12), STATISTICS)
