"""A graph as other tools write it: without a manifest, under names of theirs, maybe with probabilities."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Build = Callable[..., bytes]


@pytest.fixture(scope="session")
def foreign() -> Build:
    """``pixels (batch, 3, 8, 8)`` -> ``logits_1 (batch, 4)``, ``dense_2 (batch,)`` behind a convolution.

    With ``ends``, the first one is what Softmax makes of it.
    """

    def make(*, ends: str = "", opset: int = 17, batch: int | str = "batch") -> bytes:
        rng = np.random.default_rng(1)
        shapes = {"w0": (16, 3, 3, 3), "w1": (16, 4), "w2": (16, 1)}
        weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        first = "scores" if ends else "logits_1"
        nodes = [
            helper.make_node("Conv", ["pixels", "w0"], ["a"], "conv"),
            helper.make_node("Relu", ["a"], ["b"], "relu"),
            helper.make_node("GlobalAveragePool", ["b"], ["c"], "pool"),
            helper.make_node("Flatten", ["c"], ["d"], "flatten"),
            helper.make_node("MatMul", ["d", "w1"], [first], "to_logits"),
            helper.make_node("MatMul", ["d", "w2"], ["e"], "to_number"),
            helper.make_node("Reshape", ["e", "flat"], ["dense_2"], "reshape"),
        ]
        if ends:
            nodes.append(helper.make_node(ends, [first], ["logits_1"], "end"))
        graph = helper.make_graph(
            nodes,
            "foreign",
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, 3, 8, 8])],
            [
                helper.make_tensor_value_info("logits_1", TensorProto.FLOAT, [batch, 4]),
                helper.make_tensor_value_info("dense_2", TensorProto.FLOAT, [batch]),
            ],
            [
                *(numpy_helper.from_array(array, name) for name, array in weights.items()),
                numpy_helper.from_array(np.array([-1]), "flat"),
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    return make
