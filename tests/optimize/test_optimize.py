"""Tests of :mod:`mtl_edge.optimize.optimize`, with a rule in place of a clock."""

import itertools
from collections.abc import Callable, Mapping

import numpy as np
import onnx
import pytest
from onnx import helper

from mtl_edge.errors import ModelError
from mtl_edge.optimize import optimize as module
from mtl_edge.optimize.difference import difference
from mtl_edge.optimize.optimize import optimize_graph
from mtl_edge.quantize.race import is_faster

Feeds = Mapping[str, np.ndarray]


@pytest.fixture
def model(build: Callable[..., bytes]) -> bytes:
    """Two layers that read the input, two that read what one of them gives, and a node that does nothing."""
    rng = np.random.default_rng(0)
    constants = {name: rng.standard_normal((4, 4)).astype(np.float32) for name in "abcd"}
    nodes = [
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Gemm", ["same", "a"], ["y"], name="a"),
        helper.make_node("Gemm", ["same", "b"], ["z"], name="b"),
        helper.make_node("Gemm", ["y", "c"], ["u"], name="c"),
        helper.make_node("Gemm", ["y", "d"], ["v"], name="d"),
    ]
    return build(["n", 4], list("yzuv"), nodes, constants)


@pytest.fixture
def batch() -> dict[str, np.ndarray]:
    """Samples of the model's input."""
    return {"x": np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)}


def _judge(monkeypatch: pytest.MonkeyPatch, latency: Callable[[list[str]], float]) -> None:
    """Latency as a function of the names of a graph's nodes."""

    def time(model: bytes) -> float:
        return latency([node.name for node in onnx.load_from_string(model).graph.node])

    monkeypatch.setattr(module, "is_faster", lambda mine, theirs, batch: time(mine) < time(theirs))
    monkeypatch.setattr(module, "latency_ratio", lambda theirs, mine, batch: time(mine) / time(theirs))


def test_what_is_faster_stays(model: bytes, batch: Feeds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every node costs the same, two layers and a Split are no gain, but an Identity less is."""
    _judge(monkeypatch, len)
    found = optimize_graph(model, batch)
    assert found.applied == ("rewritten",)
    assert found.refused == ("a+b", "c+d")
    assert (found.latency_ratio, found.largest_difference) == (4 / 5, 0)


def test_groups_are_judged_one_by_one(model: bytes, batch: Feeds, monkeypatch: pytest.MonkeyPatch) -> None:
    """One merged layer may be a gain where another is a loss."""
    _judge(monkeypatch, lambda names: 10.0 - ("a+b" in names) + ("c+d" in names) + ("a" in names))
    found = optimize_graph(model, batch)
    assert found.applied == ("a+b",)
    assert found.refused == ("rewritten", "c+d")
    assert found.largest_difference == 0
    assert {"a+b", "c", "d"} < {node.name for node in onnx.load_from_string(found.model).graph.node}


def test_a_model_that_nothing_makes_faster_stays_as_it_is(
    model: bytes, batch: Feeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the byte; also where the clock was wrong at first."""
    _judge(monkeypatch, lambda names: 1.0)
    assert optimize_graph(model, batch).model == model
    monkeypatch.setattr(module, "is_faster", lambda mine, theirs, batch: True)
    found = optimize_graph(model, batch)
    assert (found.model, found.applied, found.latency_ratio) == (model, (), 1.0)
    assert found.refused == ("rewritten", "a+b", "c+d")


def test_what_moves_an_output_is_refused(model: bytes, batch: Feeds, monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast it is."""
    _judge(monkeypatch, len)

    def wrong(model: bytes) -> bytes:
        proto = onnx.load_from_string(model)
        proto.graph.node.append(helper.make_node("Neg", ["moved"], ["v"]))
        proto.graph.node[-2].output[0] = "moved"
        return bytes(proto.SerializeToString())

    assert difference(model, wrong(model), batch) == pytest.approx(2)
    monkeypatch.setattr(module, "rewritten", wrong)
    assert "rewritten" in optimize_graph(model, batch).refused


def test_the_clock_tells_more_work_from_less(build: Callable[..., bytes]) -> None:
    """A product of large matrices, and ten of them."""
    weight = {"w": np.eye(256, dtype=np.float32)}
    names = ["x", *map(str, range(10))]
    short = build(["n", 256], ["0"], [helper.make_node("MatMul", ["x", "w"], ["0"])], weight)
    nodes = [helper.make_node("MatMul", [mine, "w"], [after]) for mine, after in itertools.pairwise(names)]
    x = {"x": np.ones((1, 256), np.float32)}
    assert is_faster(short, build(["n", 256], ["9"], nodes, weight), x)
    assert not is_faster(build(["n", 256], ["9"], nodes, weight), short, x)


def test_what_is_quantized_is_not_folded(build: Callable[..., bytes], batch: Feeds) -> None:
    """That would undo what quantization did; other forms of few bits are refused."""
    constants = {"w": np.eye(4, dtype=np.int8), "s": np.array(1, np.float32)}
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["float"]),
        helper.make_node("MatMul", ["x", "float"], ["y"]),
    ]
    model = build(["n", 4], ["y"], nodes, constants)
    found = optimize_graph(model, batch)
    assert (found.model, found.applied, found.refused, found.latency_ratio) == (model, (), (), 1.0)
    nodes[0] = helper.make_node("Cast", ["w"], ["float"], to=1)
    with pytest.raises(ModelError, match="must be fp32, found quantized layers"):
        optimize_graph(build(["n", 4], ["y"], nodes, {"w": constants["w"]}), batch)
    with pytest.raises(ModelError, match="not readable"):
        optimize_graph(b"none", batch)
