"""Tests of :mod:`mtl_edge.optimize.merge`."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper

from mtl_edge.optimize.merge import find_groups, merge
from mtl_edge.runtime import open_session

Heads = Callable[..., bytes]


def _kinds(model: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(model).graph.node)


def _outputs(model: bytes, batch: int) -> dict[str, np.ndarray]:
    session = open_session(model, threads=1)
    shape = [size if isinstance(size, int) else batch for size in session.get_inputs()[0].shape]
    x = np.random.default_rng(batch).standard_normal(shape).astype(np.float32)
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


@pytest.mark.parametrize("kind", ["Gemm", "MatMul", "Conv"])
@pytest.mark.parametrize("activation", ["Relu", "Sigmoid"])
@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_merged_layers_compute_the_same_bits(heads: Heads, kind: str, activation: str, batch: int) -> None:
    """Three layers with their activations become one with a Split."""
    model = heads(kind, [3, 1, 5], activation=activation)
    (group,) = find_groups(model)
    merged = merge(model, group)
    assert [branch.name for branch in group] == ["head0.hidden", "head1.hidden", "head2.hidden"]
    assert _kinds(merged)[kind] == _kinds(model)[kind] - 2
    assert _kinds(merged)[activation] == 2
    assert _kinds(merged)["Split"] == 1
    onnx.checker.check_model(onnx.load_from_string(merged), full_check=True)
    for name, found in _outputs(merged, batch).items():
        np.testing.assert_array_equal(found, _outputs(model, batch)[name])


_ = helper
