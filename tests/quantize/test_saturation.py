"""Tests of :mod:`mtl_edge.quantize.saturation` and :mod:`mtl_edge.quantize.int8_layers`.

ONNX Runtime on an emulated Haswell, which has no VNNI, is the judge of both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.bench.machine import this_machine
from mtl_edge.quantize.int8_layers import int8_layer
from mtl_edge.quantize.saturation import pair_bounds, saturating_product

RNG = np.random.default_rng(0)


def _one_by_one(activations: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, int]:
    """The definition: every sum of two neighbouring products is cut off, then all are added."""
    totals, cut = np.zeros((len(activations), weights.shape[1]), np.int64), 0
    for row, column in np.ndindex(totals.shape):
        products = [int(a) * int(w) for a, w in zip(activations[row], weights[:, column], strict=True)]
        for first in range(0, len(products), 2):
            total = sum(products[first : first + 2])
            kept = min(max(total, -32768), 32767)
            totals[row, column] += kept
            cut += total != kept
    return totals, cut


@given(st.integers(0, 2**32), st.integers(1, 9), st.sampled_from([0.2, 1.0]))
def test_products_are_those_of_the_definition(seed: int, depth: int, size: float) -> None:
    """Also of an odd number of weights, whose last has no neighbour."""
    rng = np.random.default_rng(seed)
    activations = rng.integers(0, 256, (4, depth), dtype=np.uint8)
    weights = (rng.integers(-128, 128, (depth, 3)) * size).astype(np.int8)
    expected, cut = _one_by_one(activations, weights)
    found = saturating_product(activations, weights)
    assert (found.saturated == expected).all()
    assert (found.exact == activations.astype(int) @ weights.astype(int)).all()
    assert (found.saturating, found.pairs) == (cut, 4 * 3 * ((depth + 1) // 2))
    assert found.peak <= pair_bounds(weights).max()


def test_bounds_are_reached_and_never_passed() -> None:
    """Two weights of one sign add up; of two signs, only one of them counts."""
    weights = np.array([[100, 100, -100], [28, -100, -29]], np.int8)
    assert pair_bounds(weights).tolist() == [[255 * 128, 255 * 100, 255 * 129]]
    found = saturating_product(np.full((1, 2), 255, np.uint8), weights)
    assert found.saturating == 1
    assert found.saturated.tolist() == [[255 * 128, 0, -32768]]
    assert found.peak == 255 * 129


@dataclass(frozen=True)
class _Case:
    """One layer whose weights use all of their 8 bits."""

    name: str
    node: onnx.NodeProto
    constants: dict[str, np.ndarray]
    x: np.ndarray

    def model(self) -> bytes:
        """The layer as a model, from its uint8 input."""
        answer = TensorProto.UINT8 if "y_scale" in self.constants else TensorProto.FLOAT
        graph = helper.make_graph(
            [self.node],
            "layer",
            [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", *self.x.shape[1:]])],
            [helper.make_tensor_value_info("y", answer, None)],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def _constants(weight: np.ndarray, channels: int, depth: int) -> dict[str, np.ndarray]:
    return {
        "x_scale": np.array(0.02, np.float32),
        "x_zero": np.array(100, np.uint8),
        "w": weight,
        "w_scale": RNG.uniform(0.01, 0.02, channels).astype(np.float32),
        "w_zero": np.zeros(channels, np.int8),
        "y_scale": np.array(0.03 * np.sqrt(depth), np.float32),
        "y_zero": np.array(120, np.uint8),
        "bias": RNG.integers(-1000, 1000, channels).astype(np.int32),
    }


def _conv(name: str, ins: int, outs: int, *kernel: int, group: int = 1, **attributes: list[int]) -> _Case:
    weight = RNG.integers(-127, 128, (outs, ins // group, *kernel)).astype(np.int8)
    constants = _constants(weight, outs, weight[0].size)
    node = helper.make_node("QLinearConv", ["x", *constants], ["y"], group=group, **attributes)
    return _Case(name, node, constants, RNG.integers(0, 256, (2, ins, *[7] * len(kernel)), dtype=np.uint8))


def _matmul(name: str, kind: str, depth: int, channels: int, *rows: int, **attributes: int) -> _Case:
    shape = (channels, depth) if attributes.get("transB") else (depth, channels)
    constants = _constants(RNG.integers(-127, 128, shape).astype(np.int8), channels, depth)
    order = list(constants)
    match kind:
        case "QGemm":
            order = [*order[:5], "bias", *order[5:7]]
        case "QLinearMatMul":
            order = order[:7]
        case "QGemm to float":
            order = [*order[:5], "bias"]
        case "MatMulIntegerToFloat":
            order = ["w", "x_scale", "w_scale", "x_zero", "w_zero", "bias"]
            constants["bias"] = RNG.standard_normal(channels).astype(np.float32)
    domain = "" if kind == "QLinearMatMul" else "com.microsoft"
    node = helper.make_node(kind.split()[0], ["x", *order], ["y"], domain=domain, **attributes)
    kept = {key: constants[key] for key in order}
    return _Case(name, node, kept, RNG.integers(0, 256, (*rows, depth), dtype=np.uint8))


CASES = [
    _conv("direct kernel", 16, 32, 3, 3, pads=[1, 1, 1, 1]),
    _conv("pointwise", 16, 32, 1, 1),
    _conv("strides and uneven pads", 12, 24, 3, 3, pads=[1, 0, 0, 1], strides=[2, 2]),
    _conv("odd channels, dilated", 3, 16, 3, 3, pads=[1, 1, 1, 1], dilations=[2, 2]),
    _conv("one channel", 1, 16, 3, 3),
    _conv("few filters", 8, 5, 3, 3),
    _conv("two channels over", 6, 32, 3, 3),
    _conv("two groups", 16, 32, 3, 3, group=2),
    _conv("odd groups", 6, 12, 3, 3, group=2),
    _conv("depthwise with a multiplier", 8, 16, 3, 3, group=8),
    _conv("one axis", 3, 5, 3, dilations=[2]),
    _conv("three axes", 3, 8, 2, 3, 3),
    _matmul("Gemm", "QGemm", 65, 10, 9, transB=1),
    _matmul("Gemm of one row", "QGemm", 64, 10, 1),
    _matmul("Gemm of one column", "QGemm", 64, 1, 7, transB=1),
    _matmul("deep Gemm", "QGemm", 1001, 33, 5, transB=1),
    _matmul("Gemm to float", "QGemm to float", 64, 3, 9, transB=1),
    _matmul("MatMul", "QLinearMatMul", 33, 17, 2, 5),
    _matmul("MatMul to float", "MatMulIntegerToFloat", 64, 16, 3, 4),
]
DEPTHWISE = [
    _conv("depthwise", 16, 16, 3, 3, group=16),
    _conv("large depthwise", 32, 32, 5, 5, group=32),
    _conv("odd depthwise", 10, 10, 3, 3, group=10),
]


def _computed(case: _Case, arithmetic: Any) -> np.ndarray:
    layer = int8_layer(case.node, case.constants)
    assert layer is not None
    return layer.run(case.x, arithmetic)[0]


HAS_VNNI = bool({"avx512_vnni", "avx_vnni"} & set(this_machine().isa))


@pytest.mark.skipif(not HAS_VNNI, reason="this processor's own int8 products are not exact")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_exact_layers_are_those_of_the_runtime(case: _Case) -> None:
    """To the last bit: padding, strides, groups, zero points and rounding."""
    (expected,) = onnxruntime.InferenceSession(case.model()).run(None, {"x": case.x})
    found = _computed(case, "exact")
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("case", DEPTHWISE, ids=lambda case: case.name)
def test_depthwise_layers_are_left_alone(case: _Case) -> None:
    """Their kernels do not saturate."""
    assert int8_layer(case.node, case.constants) is None


def test_what_saturates_nowhere_is_left_alone() -> None:
    """Weights in uint8, and weights that are computed."""
    case = CASES[-2]
    assert int8_layer(case.node, case.constants | {"w": case.constants["w"].view(np.uint8)}) is None
    assert int8_layer(case.node, {name: value for name, value in case.constants.items() if name != "w"}) is None


@pytest.mark.slow
def test_a_real_runtime_without_vnni_computes_the_same(on_haswell: Callable[..., dict[str, np.ndarray]]) -> None:
    """To the last bit, in every form of layer; and depthwise ones are exact there."""
    found = on_haswell({case.name: (case.model(), case.x) for case in (*CASES, *DEPTHWISE)})
    for case in CASES:
        expected = _computed(case, "saturating")
        assert (expected != _computed(case, "exact")).any(), case.name
        np.testing.assert_array_equal(found[case.name], expected, err_msg=case.name)
    if HAS_VNNI:
        for case in DEPTHWISE:
            (expected,) = onnxruntime.InferenceSession(case.model()).run(None, {"x": case.x})
            np.testing.assert_array_equal(found[case.name], expected, err_msg=case.name)
