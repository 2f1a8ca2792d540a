"""Small models that mtl-edge did not make."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


def _save(path: Path, nodes: list[onnx.NodeProto], inputs: list, outputs: list, weights: dict[str, np.ndarray]) -> Path:
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.fixture
def matmul_model(tmp_path: Path) -> Path:
    """``x (batch, 64) -> y (batch, 64)``: one small matrix product."""
    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    return _save(
        tmp_path / "small.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 64])],
        {"w": weight},
    )


@pytest.fixture
def slow_model(tmp_path: Path) -> Path:
    """The same, thirty matrix products in a row: slower by far more than any noise."""
    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x" if i == 0 else f"h{i}", "w"], [f"h{i + 1}"]) for i in range(30)]
    nodes.append(helper.make_node("Identity", ["h30"], ["y"]))
    return _save(
        tmp_path / "big.onnx",
        nodes,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 64])],
        {"w": weight},
    )


@pytest.fixture
def tokens_model(tmp_path: Path) -> Path:
    """Two inputs, ``tokens (batch, seq) int64`` and ``flag (batch,) bool``; an embedding table of two rows."""
    return _save(
        tmp_path / "tokens.onnx",
        [
            helper.make_node("Gather", ["table", "tokens"], ["embedded"]),
            helper.make_node("Cast", ["flag"], ["weight"], to=TensorProto.FLOAT),
        ],
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "seq"]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, ["batch"]),
        ],
        [
            helper.make_tensor_value_info("embedded", TensorProto.FLOAT, ["batch", "seq", 4]),
            helper.make_tensor_value_info("weight", TensorProto.FLOAT, ["batch"]),
        ],
        {"table": np.eye(2, 4, dtype=np.float32)},
    )
