"""A network whose outputs are some of its inputs, and the Python client to compare with."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

CLIENT = Path(__file__).parents[2] / "exporters" / "python" / "mtl_edge_client.py"

Build = Callable[..., bytes]


@pytest.fixture(scope="session")
def client() -> Any:
    """The Python client, loaded from its file as an app would."""
    spec = importlib.util.spec_from_file_location("mtl_edge_client_of_export", CLIENT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def echo() -> Build:
    """A float network that gives its one input back under several names, through an operator that changes no number."""

    def make(name: str, shape: Sequence[int | str], outputs: Sequence[str], opset: int = 20) -> bytes:
        graph = helper.make_graph(
            [helper.make_node("Mul", [name, "one"], [output], name=output) for output in outputs],
            "echo",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape) for output in outputs],
            [numpy_helper.from_array(np.float32(1), "one")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    return make
