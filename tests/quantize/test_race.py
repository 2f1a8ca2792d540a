"""Tests of :mod:`mtl_edge.quantize.race`, with latencies that follow from a rule in place of a clock."""

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.quantize import race
from mtl_edge.quantize.moves import Seconds
from mtl_edge.quantize.race import find_placement

LAYERS = ("trunk", "left_head", "right_head")


@pytest.fixture
def prepared() -> bytes:
    """A trunk, and a head for each of two outputs."""
    weights = [numpy_helper.from_array(np.eye(4, dtype=np.float32) + index, f"w{index}") for index in range(3)]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"], name="trunk"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("MatMul", ["b", "w1"], ["left"], name="left_head"),
        helper.make_node("MatMul", ["b", "w2"], ["right"], name="right_head"),
    ]
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "left", "right")}
    graph = helper.make_graph(nodes, "graph", [values["x"]], [values["left"], values["right"]], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


class _Rule:
    """Stands in for the runtime: a model is the names of what stays in float, a layer in int8 costs its share."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **costs: float) -> None:
        self._costs = costs
        monkeypatch.setattr(race, "open_session", lambda model, threads: model)
        monkeypatch.setattr(race._Course, "_time", lambda course, model: self.latency(model))

    def alone(self, name: str) -> Seconds | None:
        """What a layer takes by itself."""
        return Seconds(self._costs[name], 1.0) if name in self._costs else None

    def latency(self, model: bytes) -> float:
        kept = set(LAYERS) if b"\x00" in model or b"MatMul" in model else set(model.decode().split(","))
        return sum(1.0 if layer in kept else self._costs[layer] for layer in LAYERS)


def _build(kept: frozenset[str]) -> bytes:
    return ",".join(sorted(kept)).encode()


@pytest.mark.parametrize(
    ("costs", "kept", "ratio"),
    [
        ({"trunk": 0.5, "left_head": 0.5, "right_head": 0.5}, set(), 0.5),
        ({"trunk": 0.25, "left_head": 1.5, "right_head": 1.5}, {"left_head", "right_head"}, 0.75),
        ({"trunk": 0.25, "left_head": 0.5, "right_head": 2.0}, {"right_head"}, 1.75 / 3),
        ({"trunk": 3.0, "left_head": 0.5, "right_head": 0.5}, {"trunk"}, 2 / 3),
        ({"trunk": 1.5, "left_head": 1.5, "right_head": 1.5}, set(LAYERS), 1.0),
        ({"trunk": 0.99, "left_head": 0.99, "right_head": 0.99}, set(LAYERS), 1.0),
    ],
)
def test_what_is_slower_in_int8_stays_in_float(
    prepared: bytes, monkeypatch: pytest.MonkeyPatch, costs: dict[str, float], kept: set[str], ratio: float
) -> None:
    """The trunk, a head, all or nothing; and a gain that noise could make is none."""
    _Rule(monkeypatch, **costs)
    found = find_placement(prepared, _build, {"x": np.zeros((1, 4), np.float32)})
    assert found.kept & set(LAYERS) == kept
    assert found.ratio == pytest.approx(ratio)
    assert found.trials >= 4


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(0.8, 1.1), min_size=9, max_size=9))
def test_a_race_that_ends_early_ends_as_the_whole_one(prepared: bytes, ratios: list[float]) -> None:
    """Its verdict is that of nine rounds, and it never takes more."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(race, "open_session", lambda model, threads: model)
        patched.setattr(race._Course, "_race", lambda *_: iter(ratios))
        beats = race._Course(prepared, _build, {}).beats(frozenset("a"), frozenset("b"))
    assert beats == (np.median(ratios) < 0.97 and sum(ratio < 1 for ratio in ratios) >= 7)


def test_the_clock_is_real(prepared: bytes) -> None:
    """Without a rule, the runtime is asked; a network in float is about as fast as itself, on a busy box too."""
    found = find_placement(prepared, lambda kept: prepared, {"x": np.zeros((1, 4), np.float32)})
    assert found.kept <= {"trunk", "relu", "left_head", "right_head"}
    assert 0.3 < found.ratio <= 1.0


@pytest.mark.parametrize(("each", "turns"), [(0.0, 40), (1.0, 9)], ids=["quick", "slow"])
def test_the_fastest_of_many_short_turns_counts(
    each: float, turns: int, prepared: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty of each, or as many as a race has where they take long; what is disturbed in some is not so in all."""
    clock, asked = [0.0], list[str]()

    def seconds(session: str, feeds: object, *, turn: float) -> float:
        asked.append(session)
        clock[0] += each
        return {"base": 2.0, "model": 1.0}[session] * (1.0 if len(asked) in (7, 10) else 5.0)

    monkeypatch.setattr(race, "open_session", lambda model, threads: "base" if model == prepared else "model")
    monkeypatch.setattr(race, "seconds_of", seconds)
    monkeypatch.setattr(race.time, "perf_counter", lambda: clock[0])
    assert race.fastest_ratio(prepared, b"", {"x": np.zeros((1, 4), np.float32)}) == 0.5
    assert asked == ["base", "model"] * turns


def test_what_there_is_no_hope_for_is_not_tried(prepared: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that is faster in int8 by itself does not leave it where that would take conversions, too."""
    rule = _Rule(monkeypatch, trunk=0.25, left_head=0.5, right_head=1.5)
    x = {"x": np.zeros((1, 4), np.float32)}
    everything = find_placement(prepared, _build, x)
    some = find_placement(prepared, _build, x, alone=rule.alone)
    assert some.kept == everything.kept
    assert some.trials < everything.trials
