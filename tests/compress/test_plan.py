"""Tests of :mod:`mtl_edge.compress.plan`, timed by a rule: what costs time is nodes, or what is in them."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from mtl_edge.artifact import ModelInput
from mtl_edge.compress.candidates import Candidates
from mtl_edge.compress.importance import task_gradients
from mtl_edge.compress.plan import Planner
from mtl_edge.errors import ModelError
from mtl_edge.nets.build import build_net
from mtl_edge.nets.bypass import bypassed
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.preprocessing import Pixels
from mtl_edge.recipe import PruneSpec, ResNetSpec
from mtl_edge.tasks import Regression, TargetStatistics

X = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
BLOCKS = tuple(f"sharing.trunk.stages.0.{number}" for number in range(3))


@dataclass(frozen=True)
class Told:
    """Evidence that is told: what each block is worth to the only task, and each channel."""

    blocks: Mapping[str, float]
    channels: float

    def gradients(self, net: MultiTaskNet) -> dict[str, dict[str, Tensor]]:
        """Of some loss."""
        return task_gradients(net, [{"size": net(X)["size"].square().mean()}])

    def losses(self, net: MultiTaskNet) -> dict[str, float]:
        """One, and what has left."""
        gone = 40_000 - net.parameter_count
        return {"size": 1 + sum(self.blocks[name] for name in bypassed(net)) + self.channels * gone}


@dataclass(frozen=True)
class Tried:
    """A trial that changes nothing: what comes of a network is what it is told; it notes what it is asked."""

    evidence: Told
    asked: list[str]

    def losses(self, net: MultiTaskNet) -> dict[str, float]:
        """As they are."""
        return self.evidence.losses(net)

    def losses_after(self, net: MultiTaskNet, title: str) -> dict[str, float]:
        """No training helps."""
        self.asked.append(title)
        return self.evidence.losses(net)


@pytest.fixture
def dense(monkeypatch: pytest.MonkeyPatch) -> Candidates:
    """Candidates of a network of three blocks; the time is that of the blocks that are left, and little of channels."""

    def latency(candidates: Candidates, shape: Mapping[str, int]) -> float:
        net = candidates.narrowed(shape)
        return (3 - len(bypassed(net))) / 3.75 + 0.1 + 0.1 * net.parameter_count / candidates._whole.net.parameter_count

    monkeypatch.setattr(Candidates, "latency", latency)
    monkeypatch.setattr(Candidates, "dense_ms", 1.0)
    torch.manual_seed(0)
    steps = Pixels(raw_dtype="float32", scale=1.0, mean=(0.0,), std=(1.0,))
    source = ModelInput(name="x", dtype="float32", shape=("batch", 1, 8, 8), preprocessing=steps)
    net = build_net(
        ResNetSpec(width=16, depth=(3,)),
        (Regression(name="size", target="size"),),
        source,
        {"size": TargetStatistics()},
    )
    return Candidates(net=net.eval(), example=X, input_name="x", rankings={}, target="x86-avx2")


def _planner(spec: PruneSpec, *, channels: float = 0.0, share: float = 1.0, asked: list[str] | None = None) -> Planner:
    evidence = Told(dict(zip(BLOCKS, (0.3, 0.1, 0.2), strict=True)), channels)
    return Planner(spec, evidence, {}, Tried(evidence, asked if asked is not None else []), share)  # type: ignore[arg-type]


def test_blocks_leave_where_channels_cannot_reach_the_target(dense: Candidates) -> None:
    """As few as do, those that are worth least: fewer reach nothing, and more would only cost more."""
    asked: list[str] = []
    net, found = _planner(PruneSpec(target="0.75x latency", depth="auto"), asked=asked).prune(dense)
    assert (asked, found.trials) == ([], ())
    assert bypassed(net) == (BLOCKS[1],)
    assert [block.name for block in found.dropped] == [BLOCKS[1]]
    assert found.dropped[0].losses == {"size": pytest.approx(0.1, rel=0.2)}
    assert found.blocks == 3
    assert found.reached is not None
    assert found.reached.holds
    assert found.reached.ratio <= 0.75


def test_no_block_leaves_that_is_worth_more_than_channels(dense: Candidates) -> None:
    """Where both reach the target, the loss after a trial decides; and the other way round."""
    spec, asked = PruneSpec(target="0.98x latency", depth="auto"), list[str]()
    net, found = _planner(spec, asked=asked).prune(dense)
    assert bypassed(net) == ()
    assert asked == [f"prune: try {count} of 3 blocks dropped" for count in (0, 1)]
    assert [trial.blocks for trial in found.trials] == [0, 1]
    assert all(trial.ratio <= 0.98 for trial in found.trials)
    assert found.trials[0].worst < found.trials[1].worst == pytest.approx(0.1, abs=0.01)
    net, found = _planner(spec, channels=1e-3).prune(dense)
    assert bypassed(net) == (BLOCKS[1],)
    assert found.trials[0].worst > found.trials[1].worst


def test_a_target_that_nothing_reaches_gives_the_nearest(dense: Candidates) -> None:
    """Of all depths."""
    net, found = _planner(PruneSpec(target="0.001x latency", depth="auto")).prune(dense)
    assert len(bypassed(net)) == 3
    assert found.reached is not None
    assert not found.reached.holds


def test_blocks_stay_unless_asked_for(dense: Candidates) -> None:
    """Nor are they looked at."""
    net, found = _planner(PruneSpec(target="0.5x latency")).prune(dense)
    assert bypassed(net) == ()
    assert (found.blocks, found.dropped) == (0, ())


@pytest.mark.parametrize(("target", "shown"), [(None, "a ratio"), ("0.5x size", "0.5x size")])
def test_only_latency_says_how_many_blocks_pay(target: str | None, shown: str) -> None:
    """With another goal the key would do nothing, and is refused."""
    with pytest.raises(ValueError, match=f"'auto' must have a target of latency, found {shown}"):
        PruneSpec(target=target, depth="auto")


@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_a_count_of_blocks_leaves_with_any_target(ratio: float, dense: Candidates) -> None:
    """Beside channels, or alone."""
    net, found = _planner(PruneSpec(ratio=ratio, depth=2)).prune(dense)
    assert bypassed(net) == BLOCKS[1:]
    assert len(found.dropped) == 2
    assert (len(found.groups) > 0) == (ratio > 0)
    assert net(X)["size"].shape == (4, 1)


def test_more_blocks_than_there_are_is_refused(dense: Candidates) -> None:
    """Before anything is done."""
    with pytest.raises(ModelError, match="found 4: of this network 3 can"):
        _planner(PruneSpec(depth=4)).prune(dense)


@pytest.mark.parametrize(
    "spec",
    [
        PruneSpec(ratio=0.5, depth=2),
        PruneSpec(target="0.5x latency", depth="auto"),
        PruneSpec(target="0.5x parameters"),
    ],
    ids=["ratio", "latency", "parameters"],
)
def test_half_of_the_way_is_taken_and_then_the_rest(spec: PruneSpec, dense: Candidates) -> None:
    """All shares are of the dense network: in the end it is as small as if it had been pruned at once."""
    halfway, first = _planner(spec, share=0.5).prune(dense)
    net, second = _planner(spec).prune(dense.thinner(halfway))
    assert dense.net.parameter_count > halfway.parameter_count > net.parameter_count
    if spec.target is None:
        assert (bypassed(halfway), bypassed(net)) == (BLOCKS[1:2], BLOCKS[1:])
        once, _ = _planner(spec).prune(dense)
        assert {name: values.shape for name, values in net.state_dict().items()} == {
            name: values.shape for name, values in once.state_dict().items()
        }
        return
    assert first.reached is not None
    assert second.reached is not None
    assert first.reached.target.startswith("0.707x")
    assert second.reached.target == spec.target
    assert 0.5 < first.reached.ratio <= 0.707
    assert second.reached.ratio <= 0.5
