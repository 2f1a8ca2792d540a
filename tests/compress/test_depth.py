"""Tests of :mod:`mtl_edge.compress.depth`."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from mtl_edge.artifact import ModelInput
from mtl_edge.compress.depth import demand_blocks, least_blocks, residual_blocks
from mtl_edge.compress.outcome import DroppedBlock, Pruned, Trialled, dropped_line, trials_line
from mtl_edge.errors import ModelError
from mtl_edge.nets.build import build_net
from mtl_edge.nets.bypass import bypassed
from mtl_edge.nets.custom import OutputsInOrder
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.preprocessing import Pixels
from mtl_edge.recipe import (
    CrossStitchSpec,
    LeNetSpec,
    MLPSpec,
    MobileNetSpec,
    NetSpec,
    ResNetSpec,
    TCNSpec,
    TransformerSpec,
)
from mtl_edge.tasks import Regression, TargetStatistics

STAGES = "sharing.trunk.stages"
CASES: dict[str, tuple[NetSpec, tuple[int, ...], list[str]]] = {
    "resnet": (ResNetSpec(width=8, depth=(2, 2)), (1, 8, 8), [f"{STAGES}.0.0", f"{STAGES}.0.1", f"{STAGES}.1.1"]),
    "mobilenet": (MobileNetSpec(width=0.5, depth=(1, 2)), (1, 8, 8), [f"{STAGES}.0.0", f"{STAGES}.1.1"]),
    "transformer": (
        TransformerSpec(width=16, heads=2, hidden=16, depth=3),
        (2, 8),
        [f"{STAGES}.0", f"{STAGES}.1", f"{STAGES}.2.0"],
    ),
    "tcn": (TCNSpec(width=8, depth=2), (2, 8), [f"{STAGES}.0", f"{STAGES}.1"]),
    "lenet": (LeNetSpec(widths=(8, 8, 8)), (1, 8, 8), []),
    "mlp": (MLPSpec(widths=(8, 8)), (6,), []),
    "two trunks": (
        ResNetSpec(width=8, depth=(1,), sharing=CrossStitchSpec()),
        (1, 8, 8),
        ["sharing.stages.0.stages.0.0", "sharing.stages.0.stages.1.0"],
    ),
}


def _net(spec: NetSpec, shape: tuple[int, ...]) -> MultiTaskNet:
    torch.manual_seed(0)
    channels = shape[0]
    steps = Pixels(raw_dtype="float32", scale=1.0, mean=(0.0,) * channels, std=(1.0,) * channels)
    source = ModelInput(name="x", dtype="float32", shape=("batch", *shape), preprocessing=steps)
    tasks = tuple(Regression(name=name, target=name) for name in ("first", "second"))
    return build_net(spec, tasks, source, {task.name: TargetStatistics() for task in tasks}).eval()


class Block(nn.Module):
    """Adds what a layer makes of it, where it is told to."""

    def __init__(self, width: int, residual: bool = True) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        out: Tensor = torch.relu(self.layer(x))
        return out.add_(x) if self.residual else out + 1


class Own(nn.Module):
    """One block is residual, one is not, one is read from outside, and one is the whole of a container."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(6), Block(6, residual=False), nn.Sequential(Block(6))])
        self.read = Block(6)
        self.output = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """``(N, 6)`` -> one number."""
        for block in (*self.blocks, self.read):
            x = block(x)
        return {"size": self.output(x) + self.read.layer.bias[0]}


@pytest.mark.parametrize("case", CASES)
def test_blocks_of_every_trunk_are_recognised(case: str) -> None:
    """Those that keep the shape, in every branch; trunks without blocks have none."""
    spec, shape, names = CASES[case]
    assert list(residual_blocks(_net(spec, shape), torch.randn(2, *shape))) == names


def test_blocks_of_own_networks_are_recognised_by_what_they_do() -> None:
    """What does not add its input is none, nor what other code reaches into; of a container, the block inside."""
    net = MultiTaskNet(OutputsInOrder(Own(), ["size"]), {"size": nn.Identity()}).eval()
    assert residual_blocks(net, torch.randn(2, 6)) == ("sharing.module.blocks.0", "sharing.module.blocks.2.0")


def test_those_leave_first_that_the_worst_off_task_misses_least() -> None:
    """Each is weighed with those gone that left before."""
    worth = {f"{STAGES}.0": (0.5, 0.1), f"{STAGES}.1": (0.2, 0.4), f"{STAGES}.2.0": (3.0, 0.0)}

    def losses(net: MultiTaskNet) -> Mapping[str, float]:
        gone = [worth[name] for name in bypassed(net)]
        return {"a": 2.0 + 2 * sum(a for a, _ in gone), "b": 1.0 + sum(b for _, b in gone)}

    spec, shape, blocks = CASES["transformer"]
    found = least_blocks(_net(spec, shape), blocks, losses, most=2)
    assert [block.name for block in found] == [f"{STAGES}.1", f"{STAGES}.0"]
    assert found[0].losses == pytest.approx({"a": 0.2, "b": 0.4})
    assert found[1].losses == pytest.approx({"a": 0.7, "b": 0.5})


def test_more_blocks_than_there_are_is_one_clear_error() -> None:
    """It names those that there are, and says what one is."""
    demand_blocks(["a.0"], 1)
    with pytest.raises(ModelError, match=r"compress\.prune\.depth: must be at most .* found 2: of this network 1 can"):
        demand_blocks(["a.0"], 2)
    with pytest.raises(ModelError, match="of this network none can; a residual block is a module that adds its input"):
        demand_blocks([], 1)


def test_a_line_says_which_blocks_left_and_what_that_did_to_each_task() -> None:
    """None where all stayed."""
    changes = {"a": 0.1, "b": 1.5}
    blocks = tuple(DroppedBlock(name=name, losses={"left": left, "right": 0.0}) for name, left in changes.items())
    found = Pruned(importance="taylor", groups=(), dropped=blocks, blocks=3)
    assert dropped_line(found).startswith("2 of 3 residual blocks dropped (a, b), which changed losses")
    assert dropped_line(found).endswith("left +150%, right +0%")
    assert dropped_line(Pruned(importance="taylor", groups=(), blocks=3)) == ""


def test_a_line_says_what_came_of_each_number_of_blocks() -> None:
    """By the worst-off task; none where nothing was tried."""
    losses = ({"left": 0.1, "right": 0.32}, {"left": 0.41, "right": -0.02})
    trials = tuple(Trialled(blocks=count, ratio=0.5, losses=found) for count, found in enumerate(losses))
    line = trials_line(Pruned(importance="taylor", groups=(), blocks=3, trials=trials))
    assert line.endswith("more than before pruning by: +32% with all blocks, +41% with 1 dropped")
    assert trials_line(Pruned(importance="taylor", groups=(), blocks=3)) == ""
