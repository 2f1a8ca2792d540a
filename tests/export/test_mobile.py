"""What phones' accelerators could run, in plain words."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.export.batch import set_batch
from mtl_edge.export.mobile import Accelerator, check_mobile

MODELS = Path(__file__).parents[2] / "models"


def _checked(model: bytes) -> dict[str, Accelerator]:
    return {found.name.partition(" ")[0]: found for found in check_mobile(model)[::-1]}


def test_an_open_batch_is_what_to_change() -> None:
    """The same graph with a fixed one is fit."""
    model = (MODELS / "hello-mlp" / "model.onnx").read_bytes()
    found = _checked(model)
    assert (found["NNAPI"].verdict, found["NNAPI"].if_fixed) == ("no", "yes")
    assert found["NNAPI"].advice == ("yes with fixed shapes: export with --batch 1",)
    fixed = _checked(set_batch(model, 1))
    assert (fixed["NNAPI"].verdict, fixed["NNAPI"].if_fixed, fixed["NNAPI"].advice) == ("yes", None, ())
    assert fixed["CoreML"].nodes[0] == fixed["CoreML"].nodes[1]


def test_int8_is_not_for_coreml() -> None:
    """Q/DQ nodes are missing, and counted."""
    found = _checked(set_batch((MODELS / "mnist-pairs" / "model.onnx").read_bytes(), 1))
    assert found["CoreML"].verdict == "no"
    assert found["CoreML"].missing["QuantizeLinear"] > 1
    assert any("give it the fp32 or the fp16 model" in line for line in found["CoreML"].advice)
    assert found["NNAPI"].verdict == "yes"
    assert found["XNNPACK"].verdict == "maybe"


def test_what_runs_on_the_cpu_is_named() -> None:
    """Of a table, the encoding does."""
    found = _checked((MODELS / "adult" / "model.onnx").read_bytes())["NNAPI"]
    assert found.missing["IsNaN"] == 1
    assert any("encoding of tables runs on the CPU" in line for line in found.advice)


def test_xnnpack_takes_an_activation_in_one_step_with_a_convolution_alone() -> None:
    """A Relu behind one is taken, one behind an addition is missing."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["conv"]),
        helper.make_node("Relu", ["conv"], ["behind"]),
        helper.make_node("Add", ["behind", "behind"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 2, 2]) for name in ("x", "y")]
    weight = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = _checked(model.SerializeToString())["XNNPACK"]
    assert (found.nodes, found.missing) == ((2, 4), {"Add": 1, "Relu": 1})
