"""The number of samples is fixed or opened, and nothing else changes."""

from collections.abc import Callable

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.errors import ModelError
from mtl_edge.export.batch import set_batch
from mtl_edge.runtime import open_session

Build = Callable[..., bytes]


def test_an_open_batch_is_fixed(echo: Build) -> None:
    """Inputs and outputs say so, and another number is refused by the runtime."""
    model = set_batch(echo("x", ("n", 3), ["y"]), 4)
    session = open_session(model)
    assert session.get_inputs()[0].shape == session.get_outputs()[0].shape == [4, 3]
    assert session.run(None, {"x": np.ones((4, 3), np.float32)})[0].shape == (4, 3)


def test_a_fixed_batch_is_opened(echo: Build) -> None:
    """Where nothing in the graph knows the number."""
    session = open_session(set_batch(echo("x", (4, 3), ["y"]), None))
    assert session.get_inputs()[0].shape == ["batch", 3]
    assert session.run(None, {"x": np.ones((7, 3), np.float32)})[0].shape == (7, 3)


def test_what_is_right_already_stays(echo: Build) -> None:
    """An open graph is open."""
    model = echo("x", ("n", 3), ["y"])
    assert set_batch(model, None) == model


def test_a_graph_that_knows_its_batch_is_not_opened() -> None:
    """A constant shape within is found by running the graph."""
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2, 3])],
        [numpy_helper.from_array(np.array([2, 2, 3], np.int64), "shape")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    with pytest.raises(ModelError, match=r"batch: the graph computes only \{2\} samples at a time"):
        set_batch(model, None)


def test_another_number_than_the_fixed_one_is_refused(echo: Build) -> None:
    """The message says what to do."""
    with pytest.raises(ModelError, match=r"input 'x' must be open or of 2 samples .*, found 4; open it first"):
        set_batch(echo("x", (4, 3), ["y"]), 2)
