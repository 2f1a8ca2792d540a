"""Models that nobody should trust."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Make = Callable[..., onnx.ModelProto]


@pytest.fixture
def make() -> Make:
    """A model ``x (n, 4) -> y`` of some nodes and constants."""

    def model(
        nodes: Sequence[onnx.NodeProto],
        constants: Sequence[onnx.TensorProto] = (),
        *,
        shape: Sequence[int | str] = ("n", 4),
        functions: Sequence[onnx.FunctionProto] = (),
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            list(nodes),
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            list(constants),
        )
        imports = [helper.make_opsetid("", 20), helper.make_opsetid("mine", 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=9, functions=list(functions))

    return model


@pytest.fixture
def weighted(make: Make) -> onnx.ModelProto:
    """A matrix product with 4 x 3 weights."""
    weights = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "weights")
    return make([helper.make_node("MatMul", ["x", "weights"], ["y"])], [weights])
