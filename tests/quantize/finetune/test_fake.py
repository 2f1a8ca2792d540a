"""Tests of :mod:`mtl_edge.quantize.finetune.fake`."""

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.quantize.finetune.fake import fake_quantize, rounded


def test_values_are_rounded_as_the_runtime_rounds_them() -> None:
    """Halves to even numbers, and what lies beyond the ends to the ends."""
    x = torch.arange(-40, 40) * 0.25
    found = fake_quantize(x, torch.tensor(0.5), 7, 0, 19)
    constants = [numpy_helper.from_array(np.array(0.5, np.float32), "s"), numpy_helper.from_array(np.uint8(7), "z")]
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])]
    values = [helper.make_tensor_value_info(name, kind, ["n"]) for name, kind in (("x", 1), ("y", TensorProto.UINT8))]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (numbers,) = session.run(None, {"x": x.numpy()})
    np.testing.assert_array_equal(found.numpy(), (numbers.clip(0, 19).astype(np.float32) - 7) * 0.5)


def test_gradients_are_those_of_rounding_that_is_passed_over() -> None:
    """Of the values and of the scale, as torch finds them where rounding alone is told to pass gradients."""
    generator = torch.Generator().manual_seed(0)
    start, weight = (torch.randn(200, generator=generator) * 3 for _ in range(2))
    gradients = []
    for function in (
        lambda x, scale: fake_quantize(x, scale, 100, 0, 140),
        lambda x, scale: ((rounded(x / scale) + 100).clamp(0, 140) - 100) * scale,
    ):
        x, scale = start.clone().requires_grad_(), torch.tensor(0.07, requires_grad=True)
        (function(x, scale) * weight).sum().backward()
        gradients.append((x.grad, scale.grad))
    for mine, theirs in zip(*gradients, strict=True):
        assert mine is not None
        torch.testing.assert_close(mine, theirs)
        assert mine.any()
