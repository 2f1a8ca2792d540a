"""Tests of :mod:`mtl_edge.optimize.subset`."""

import itertools
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mtl_edge.errors import ModelError
from mtl_edge.graph import readers_of
from mtl_edge.optimize.merge import find_groups, merge, merge_all
from mtl_edge.optimize.subset import cut_outputs
from mtl_edge.runtime import open_session

Heads = Callable[..., bytes]
WIDTHS = (3, 1, 5)


@pytest.fixture(params=["Gemm", "MatMul", "Conv"])
def model(request: pytest.FixtureRequest, heads: Heads) -> bytes:
    """A trunk with three heads of two layers."""
    return heads(request.param, WIDTHS)


def _merged(model: bytes) -> bytes:
    (group,) = find_groups(model)
    return merge(model, group).model


def _merged_in_depth(model: bytes) -> bytes:
    return merge_all(model).model


def _numbers(model: bytes) -> int:
    """How many numbers its float constants hold."""
    tensors = map(numpy_helper.to_array, onnx.load_from_string(model).graph.initializer)
    return sum(tensor.size for tensor in tensors if tensor.dtype == np.float32)


@pytest.mark.parametrize("merging", [_merged, _merged_in_depth])
@pytest.mark.parametrize("wanted", [*itertools.combinations(range(3), 1), *itertools.combinations(range(3), 2)])
def test_a_subset_of_merged_heads_computes_the_same_bits_with_no_dead_weights(
    model: bytes, wanted: tuple[int, ...], merging: Callable[[bytes], bytes]
) -> None:
    """As many numbers are left as if those that go had never been there."""
    names = [f"head{index}" for index in wanted]
    merged = merging(model)
    cut = cut_outputs(merged, names)
    onnx.checker.check_model(onnx.load_from_string(cut), full_check=True)
    graph = onnx.load_from_string(cut).graph
    assert all(readers_of(graph)[tensor.name] for tensor in graph.initializer)
    alone = cut_outputs(model, names)
    assert _numbers(cut) == _numbers(merging(alone) if len(wanted) > 1 else alone) < _numbers(model)
    assert ("Split" in {node.op_type for node in graph.node}) == (len(wanted) > 1)
    whole, part = open_session(merged, threads=1), open_session(cut, threads=1)
    assert [item.name for item in part.get_outputs()] == names
    for batch in (1, 4, 33):
        shape = [size if isinstance(size, int) else batch for size in whole.get_inputs()[0].shape]
        x = np.random.default_rng(batch).standard_normal(shape).astype(np.float32)
        for mine, theirs in zip(part.run(names, {"x": x}), whole.run(names, {"x": x}), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_all_outputs_are_the_model_itself(model: bytes) -> None:
    """Nothing is dead."""
    merged = _merged(model)
    assert onnx.load_from_string(cut_outputs(merged, ["head2", "head0", "head1"])) == onnx.load_from_string(merged)


def test_a_constant_that_others_read_too_stays_whole(model: bytes) -> None:
    """Equal biases may be one tensor, of which another layer needs all."""
    proto = onnx.load_from_string(_merged(model))
    (wide,) = (tensor for tensor in proto.graph.initializer if tensor.name.endswith("hidden.bias"))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("bias", onnx.TensorProto.FLOAT, list(wide.dims)))
    proto.graph.node.append(onnx.helper.make_node("Identity", [wide.name], ["bias"]))
    cut = open_session(cut_outputs(proto.SerializeToString(), ["head0", "bias"]))
    shape = [size if isinstance(size, int) else 1 for size in cut.get_inputs()[0].shape]
    (bias,) = cut.run(["bias"], {"x": np.zeros(shape, np.float32)})
    assert bias.shape == tuple(wide.dims)


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["head7"], r"must name outputs of the model \(head0, head1, head2\), found 'head7'"),
        ([], "must name at least one output of the model"),
    ],
)
def test_names_must_be_those_of_outputs(heads: Heads, names: list[str], line: str) -> None:
    """The error names the outputs that there are."""
    with pytest.raises(ModelError, match=line):
        cut_outputs(heads("Gemm", WIDTHS), names)
