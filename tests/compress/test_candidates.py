"""Tests of :mod:`mtl_edge.compress.candidates` and :mod:`mtl_edge.compress.choose`, timed by a rule."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor

from mtl_edge.compress import candidates as timing
from mtl_edge.compress.candidates import Candidates, Forms
from mtl_edge.compress.choose import choose_shape
from mtl_edge.compress.importance import rank, task_gradients
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.recipe import PruneSpec


def _values(model: bytes) -> int:
    """How many weights a model has, whatever their type; of them, its time follows here."""
    graph = onnx.load_from_string(model).graph
    sizes = (int(torch.tensor(list(tensor.dims)).prod()) for tensor in graph.initializer if len(tensor.dims) > 1)
    return sum(sizes)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What was timed against what, in weights."""
    asked: list[tuple[int, int]] = []

    def ratio(base: bytes, model: bytes, batch: object) -> float:
        asked.append((_values(base), _values(model)))
        return asked[-1][1] / asked[-1][0]

    monkeypatch.setattr(timing, "fastest_ratio", ratio)
    monkeypatch.setattr(timing, "seconds_of", lambda session, feeds: 2e-3)
    return asked


@pytest.fixture
def candidates(
    net: MultiTaskNet, losses: Callable[[MultiTaskNet], dict[str, Tensor]], tmp_path: Path
) -> Callable[[], Candidates]:
    """Those of the small network, with nothing timed yet but what the folder keeps."""
    rankings = rank(net, torch.zeros(2, 6), task_gradients(net, [losses(net)]))
    return lambda: Candidates(
        net=net,
        example=torch.randn(8, 6, generator=torch.Generator().manual_seed(0)),
        input_name="x",
        rankings=rankings,
        target="x86-avx2",
        folder=tmp_path,
    )


@pytest.mark.slow
def test_a_target_of_latency_is_met_by_shapes_that_were_timed(
    candidates: Callable[[], Candidates], timed: list[tuple[int, int]]
) -> None:
    """As a share or in milliseconds; what was timed once is known the next time."""
    found = candidates()
    spec = PruneSpec(target="0.6x latency", round_to=10)
    shape, reached = choose_shape(spec, found.rankings, found)
    assert reached is not None
    assert reached.holds
    assert reached.dense_ms == 2.0
    assert reached.ratio == found.latency(shape)
    assert 0.3 < reached.ratio <= 0.6
    again, before = candidates(), len(timed)
    in_ms = choose_shape(PruneSpec(target="1.2 ms", round_to=10), again.rankings, again)
    assert (in_ms[0], in_ms[1] and in_ms[1].ratio) == (shape, reached.ratio)
    assert len(timed) == before + 1  # which of its two forms the dense network is faster in


@pytest.mark.parametrize("of", ["size", "parameters"])
def test_other_targets_need_no_clock(
    of: str,
    candidates: Callable[[], Candidates],
    timed: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sizes and parameters are counted; here, a file has a byte for each parameter."""
    monkeypatch.setattr(Candidates, "_forms", lambda self, net: Forms(b"", bytes(net.parameter_count)))
    found = candidates()
    shape, reached = choose_shape(PruneSpec(target=f"0.8x {of}", round_to=10), found.rankings, found)
    assert reached is not None
    assert reached.holds
    assert getattr(found, of)(shape) == pytest.approx(reached.ratio)
    assert not timed


def test_a_ratio_asks_for_nothing(candidates: Callable[[], Candidates], timed: list[tuple[int, int]]) -> None:
    """No network is exported, and there is no target to reach."""
    found = candidates()
    shape, reached = choose_shape(PruneSpec(ratio=0.5, round_to=2), found.rankings, found)
    assert reached is None
    assert sorted(shape.values()) == [4, 4, 10]
    assert not timed
