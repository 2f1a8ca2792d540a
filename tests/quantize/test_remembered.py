"""Tests of :mod:`mtl_edge.quantize.remembered`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.quantize.race import Placement
from mtl_edge.quantize.remembered import remembered
from mtl_edge.quantize.target import find_target

FOUND = Placement(kept=frozenset({"layer"}), ratio=0.5, trials=3)
OneSample = dict[str, np.ndarray]


def _model(width: int = 16, seed: int = 0, shape: tuple[int, ...] = (-1, 4)) -> bytes:
    weight = np.random.default_rng(seed).normal(size=(16, width)).astype(np.float32)
    constants = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array(shape), "shape")]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="layer"),
        helper.make_node("Reshape", ["a", "shape"], ["y"], name="reshape"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "columns"])
    graph = helper.make_graph(nodes, "graph", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _feeds(batch: int = 1) -> OneSample:
    return {"x": np.zeros((batch, 16), np.float32)}


@pytest.fixture
def searches(tmp_path: Path) -> Callable[..., bool]:
    """Look a placement up; was it searched for?"""

    def look_up(model: bytes, feeds: OneSample, target: str = "x86-vnni", folder: Path = tmp_path / "kept") -> bool:
        searched = []

        def search() -> Placement:
            searched.append(True)
            return FOUND

        assert remembered(folder, model, find_target(target), feeds, search) == FOUND  # type: ignore[arg-type]
        return bool(searched)

    return look_up


def test_another_training_of_the_same_shapes_is_placed_at_once(searches: Callable[..., bool]) -> None:
    """Other weights take no other time."""
    assert searches(_model(), _feeds())
    assert not searches(_model(), _feeds())
    assert not searches(_model(seed=1), _feeds())


def test_what_decides_on_latency_is_searched_anew(searches: Callable[..., bool]) -> None:
    """Other shapes, in weights or in small constants, another batch, another target."""
    assert searches(_model(), _feeds())
    assert searches(_model(width=32), _feeds())
    assert searches(_model(shape=(-1, 8)), _feeds())
    assert searches(_model(), _feeds(batch=2))
    assert searches(_model(), _feeds(), target="arm64")


def test_what_is_damaged_or_cannot_be_kept_is_searched_anew(searches: Callable[..., bool], tmp_path: Path) -> None:
    """And nothing is raised."""
    assert searches(_model(), _feeds())
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_bytes(kept.read_bytes()[:-3])
    assert searches(_model(), _feeds())
    no_folder = tmp_path / "file"
    no_folder.write_text("")
    assert searches(_model(), _feeds(), folder=no_folder / "kept")
