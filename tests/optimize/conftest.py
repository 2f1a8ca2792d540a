"""Small graphs with several heads on one trunk."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Build = Callable[..., bytes]


@pytest.fixture
def build() -> Build:
    """Serialize a graph: input ``x`` of a shape, outputs by name, nodes, constants by name."""

    def make(
        shape: Sequence[str | int],
        outputs: Sequence[str],
        nodes: Sequence[onnx.NodeProto],
        constants: Mapping[str, np.ndarray],
    ) -> bytes:
        rank = len(shape)  # sizes are left open
        graph = helper.make_graph(
            list(nodes),
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    return make


@pytest.fixture
def heads(build: Build) -> Callable[..., bytes]:
    """A trunk layer, and a two-layer head for each width, of one kind of layer; outputs are ``head0`` and so on."""

    def make(
        kind: str, widths: Sequence[int], *, inputs: int = 24, hidden: int = 32, activation: str = "Relu"
    ) -> bytes:
        rng = np.random.default_rng(len(widths))
        constants: dict[str, np.ndarray] = {}
        nodes: list[onnx.NodeProto] = []

        def layer(source: str, name: str, rows: int, columns: int) -> str:
            weight = rng.standard_normal((rows, columns)).astype(np.float32) / np.float32(np.sqrt(rows))
            constants[f"{name}.b"] = rng.standard_normal(columns).astype(np.float32)
            match kind:
                case "Gemm":
                    constants[f"{name}.w"] = np.ascontiguousarray(weight.T)
                    nodes.append(
                        helper.make_node("Gemm", [source, f"{name}.w", f"{name}.b"], [name], name=name, transB=1)
                    )
                case "MatMul":
                    constants[f"{name}.w"] = weight
                    nodes.append(helper.make_node("MatMul", [source, f"{name}.w"], [f"{name}.raw"], name=name))
                    nodes.append(helper.make_node("Add", [f"{name}.raw", f"{name}.b"], [name]))
                case _:
                    kernel = rng.standard_normal((columns, rows, 3, 3)).astype(np.float32)
                    constants[f"{name}.w"] = kernel / np.float32(3 * np.sqrt(rows))
                    inputs = [source, f"{name}.w", f"{name}.b"]
                    nodes.append(helper.make_node("Conv", inputs, [name], name=name, pads=[1, 1, 1, 1]))
            return name

        def active(source: str) -> str:
            nodes.append(helper.make_node(activation, [source], [f"{source}.active"]))
            return f"{source}.active"

        trunk = active(layer("x", "trunk", inputs, hidden))
        for index, width in enumerate(widths):
            layer(active(layer(trunk, f"head{index}.hidden", hidden, hidden)), f"head{index}", hidden, width)
        shape = ["n", inputs, 6, 6] if kind == "Conv" else ["n", inputs]
        return build(shape, [f"head{index}" for index in range(len(widths))], nodes, constants)

    return make
