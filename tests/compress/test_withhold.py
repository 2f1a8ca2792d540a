"""Tests of :mod:`mtl_edge.compress.withhold`, with races that end as told."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mtl_edge.compress import withhold
from mtl_edge.compress.outcome import Withheld, withheld_lines
from mtl_edge.compress.withhold import slower_than

BATCH = {"x": np.zeros((2, 64), np.float32)}


@pytest.fixture
def races(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[bool]], list[bool]]:
    """Set who wins: whether the first of two is faster, race by race; what is left was not run."""

    def prepare(results: list[bool]) -> list[bool]:
        monkeypatch.setattr(withhold, "is_faster", lambda mine, theirs, batch: results.pop(0))
        monkeypatch.setattr(withhold, "latency_ratio", lambda parent, child, batch: 1.3)
        return results

    return prepare


def _model(width: int, seed: int = 0) -> bytes:
    weight = np.random.default_rng(seed).standard_normal((64, width)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 64])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, width])],
        [numpy_helper.from_array(weight, "w")],
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    return bytes(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def test_a_pruned_network_that_loses_twice_is_withheld(races: Callable[[list[bool]], list[bool]]) -> None:
    """What it takes of the other's time is told."""
    left = races([True, True])
    assert slower_than("dense", _model(16), _model(8), BATCH) == Withheld(than="dense", ratio=1.3)
    assert left == []


@pytest.mark.parametrize("results", [[False], [True, False]], ids=["wins", "loses once"])
def test_what_is_not_clearly_slower_is_a_result(results: list[bool], races: Callable[[list[bool]], list[bool]]) -> None:
    """One race lost may be chance."""
    left = races(results)
    assert slower_than("dense", _model(16), _model(8), BATCH) is None
    assert left == []


def test_the_same_layers_are_not_raced(races: Callable[[list[bool]], list[bool]]) -> None:
    """Weights do not change how long a network takes, so all that a race could show is noise."""
    left = races([True, True])
    assert slower_than("dense", _model(16), _model(16, seed=1), BATCH) is None
    assert left == [True, True]


def test_a_network_that_really_is_slower_loses() -> None:
    """By the clock: four hundred times the work."""
    assert slower_than("dense", _model(16), _model(6400), BATCH) is not None
    assert slower_than("dense", _model(6400), _model(16), BATCH) is None


def test_a_sentence_says_what_is_faster_and_what_to_do() -> None:
    """One line for each model, of one task or of all."""
    slow = Withheld(than="dense", ratio=1.25)
    pruned, student = withheld_lines({"pruned": slow, "single-task/left/student-int8": slow})
    assert pruned.startswith("pruned: withheld, because it takes 1.25x the time of dense on this box; remove less")
    assert student.endswith("on this box; make compress.student.net smaller")
