"""A small network with a residual, a depthwise convolution and two heads, and how it is quantized."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from mtl_edge.bench.machine import TargetName
from mtl_edge.quantize.calibrate import calibrate
from mtl_edge.quantize.data import CalibrationData
from mtl_edge.quantize.finetune.course import Course, every_sample
from mtl_edge.quantize.form import Form
from mtl_edge.quantize.prepare import prepare
from mtl_edge.quantize.ranges import find_ranges
from mtl_edge.quantize.target import Target, find_target
from mtl_edge.runtime import open_session

_TEXT = """
net (float[N,3,6,6] x, float[8,3,3,3] w1, float[8] w2, float[8,1,3,3] w3, float[8] w4, float[8,4] w5, float[4] w6,
     float[8,1] w7) => (float[N,4] kind, float[N,1] size) {
  a = Conv<pads=[1,1,1,1]>(x, w1, w2)
  b = Relu(a)
  c = Conv<group=8, pads=[1,1,1,1]>(b, w3, w4)
  d = Relu(c)
  e = Add(b, d)
  p = GlobalAveragePool(e)
  f = Flatten(p)
  kind = Gemm(f, w5, w6)
  size = MatMul(f, w7)
}
"""


@dataclass(frozen=True)
class Case:
    """The network in fp32, what is quantized, and samples."""

    fp32: bytes
    form: Form
    target: Target
    data: CalibrationData

    def course(self, steps: int = 20, **changes: object) -> Course:
        """Lessons from the fp32 network, always."""
        session = open_session(self.fp32, threads=1)
        data = replace(every_sample(self.data, session.get_inputs()), batch_size=32)
        return replace(Course("always", data, session, steps=steps), **changes)  # type: ignore[arg-type]


def network() -> onnx.ModelProto:
    """With weights that chance has drawn, some of one layer far larger than the others."""
    graph, rng = parser.parse_graph(_TEXT), np.random.default_rng(0)
    for value in list(graph.input)[1:]:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        drawn = rng.standard_normal(shape) / np.sqrt(max(np.prod(shape[1:]), 1))
        drawn = drawn * rng.lognormal(0, 1, shape) if value.name in ("w1", "w3") else drawn
        graph.initializer.append(numpy_helper.from_array(drawn.astype(np.float32), value.name))
        graph.input.remove(value)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="session")
def make_case() -> Callable[[TargetName], Case]:
    """The network, for a kind of processor; weights to their nearest numbers."""

    def make(name: TargetName) -> Case:
        fp32 = network().SerializeToString()
        x = np.random.default_rng(1).standard_normal((256, 3, 6, 6)).astype(np.float32)
        data = CalibrationData({"x": x}, {}, np.arange(64), 32, ())
        prepared = prepare(fp32)
        return Case(
            fp32,
            Form(prepared, prepared, find_ranges(calibrate(prepared, data), "minmax")),
            find_target(name),
            data,
        )

    return make


@pytest.fixture
def case(make_case: Callable[[TargetName], Case]) -> Case:
    """For processors without VNNI: what it answers is the same on all."""
    return make_case("x86-avx2")
