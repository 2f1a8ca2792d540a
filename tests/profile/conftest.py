"""Small models whose parts are known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

WIDTH = 32


def _save(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], outputs: dict[str, int]) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]) for name, size in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="test")
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.fixture
def three_tasks(tmp_path: Path) -> Path:
    """A trunk, a layer that ``a`` and ``b`` share, and heads: ``a`` of one product, ``b`` of two, ``c`` of three."""
    chance = np.random.default_rng(0)
    layers = {
        "trunk": ("x", "features"),
        "both": ("features", "shared"),
        "a0": ("shared", "a"),
        "b0": ("shared", "b.hidden"),
        "b1": ("b.hidden", "b"),
        "c0": ("features", "c.hidden"),
        "c1": ("c.hidden", "c.more"),
        "c2": ("c.more", "c"),
    }
    nodes = []
    for name, (source, target) in layers.items():
        nodes.append(helper.make_node("MatMul", [source, f"{name}.w"], [f"{name}.product"], name=name))
        nodes.append(helper.make_node("Sigmoid", [f"{name}.product"], [target], name=f"{name}.sigmoid"))
    weights = {f"{name}.w": chance.standard_normal((WIDTH, WIDTH)).astype(np.float32) for name in layers}
    return _save(tmp_path / "three.onnx", nodes, weights, dict.fromkeys("abc", WIDTH))


@pytest.fixture
def loop_model(tmp_path: Path) -> Path:
    """One output, from a loop of five products."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("MatMul", ["h", "w"], ["next"], name="inside"),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["times", "", "x"], ["looped"], name="loop", body=body),
        helper.make_node("Sigmoid", ["looped"], ["y"], name="after"),
    ]
    weights = {"times": np.array(5, np.int64), "w": np.eye(WIDTH, dtype=np.float32)}
    return _save(tmp_path / "loop.onnx", nodes, weights, {"y": WIDTH})


@pytest.fixture
def lookup_in_nothing(tmp_path: Path) -> Path:
    """``i (1,) int64 -> y``, a row of a table that has none: no input can be run."""
    path = tmp_path / "lookup.onnx"
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "i"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("i", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.zeros((0, 2), np.float32), "table")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def zoo_model() -> Callable[[str], Path]:
    """The int8 model of a reference recipe."""
    root = Path(__file__).parents[2] / "models"
    return lambda name: root / name / "model.onnx"
