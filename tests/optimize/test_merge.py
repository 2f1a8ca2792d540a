"""Tests of :mod:`mtl_edge.optimize.merge`."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from mtl_edge.optimize.merge import find_groups, find_parallel_groups, merge, merge_all
from mtl_edge.quantize.refinements import Refinements
from mtl_edge.quantize.static import quantize_static
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
    merged = merge(model, group).model
    assert [branch.name for branch in group] == ["head0.hidden", "head1.hidden", "head2.hidden"]
    assert _kinds(merged)[kind] == _kinds(model)[kind] - 2
    assert _kinds(merged)[activation] == 2
    assert _kinds(merged)["Split"] == 1
    onnx.checker.check_model(onnx.load_from_string(merged), full_check=True)
    for name, found in _outputs(merged, batch).items():
        np.testing.assert_array_equal(found, _outputs(model, batch)[name])


@pytest.mark.parametrize("widths", [(1, 1), (3, 5), (8, 8), (10, 10, 1), (12, 4, 32), (1,) * 8])
@pytest.mark.parametrize("hidden", [7, 16, 33, 64])
def test_bits_depend_on_no_width(heads: Heads, widths: tuple[int, ...], hidden: int) -> None:
    """ONNX Runtime's matrix products sum in the same order however many columns there are."""
    model = heads("Gemm", widths, hidden=hidden)
    (group,) = find_groups(model)
    for batch in (1, 5, 32):
        for name, found in _outputs(merge(model, group).model, batch).items():
            np.testing.assert_array_equal(found, _outputs(model, batch)[name])


@pytest.mark.parametrize("hidden", [5, 8, 24])
def test_convolutions_move_by_last_bits_at_most(heads: Heads, hidden: int) -> None:
    """Kernels for blocks of channels may take over where there are enough, and sum in another order."""
    model = heads("Conv", [3, 1], hidden=hidden)
    (group,) = find_groups(model)
    for batch in (1, 5):
        for name, found in _outputs(merge(model, group).model, batch).items():
            before = _outputs(model, batch)[name]
            assert np.abs(found - before).max() <= 1e-6 * np.abs(before).max()


def test_unlike_layers_stay_apart(build: Callable[..., bytes]) -> None:
    """Another activation, scale or input, or weights that another layer shares."""
    rng = np.random.default_rng(0)
    constants = {name: rng.standard_normal((4, 4)).astype(np.float32) for name in "abcdef"}
    nodes = [
        helper.make_node("Gemm", ["x", "a"], ["relu.in"]),
        helper.make_node("Relu", ["relu.in"], ["y"]),
        helper.make_node("Gemm", ["x", "b"], ["tanh.in"]),
        helper.make_node("Tanh", ["tanh.in"], ["z"]),
        helper.make_node("Gemm", ["x", "c"], ["u"], alpha=0.5),
        helper.make_node("Gemm", ["y", "d"], ["v"]),
        helper.make_node("Gemm", ["z", "e"], ["w"]),
        helper.make_node("MatMul", ["x", "f"], ["s"]),
        helper.make_node("MatMul", ["y", "f"], ["t"]),
    ]
    assert find_groups(build(["n", 4], list("uvwst"), nodes, constants)) == []


def test_what_goes_without_saying_makes_no_difference(build: Callable[..., bytes]) -> None:
    """An attribute with its default value is as good as none."""
    constants = {"a": np.ones((4, 2), np.float32), "b": np.eye(4, dtype=np.float32)}
    nodes = [
        helper.make_node("Gemm", ["x", "a"], ["y"], alpha=1.0, transB=0),
        helper.make_node("Gemm", ["x", "b"], ["z"], beta=1.0),
    ]
    model = build(["n", 4], ["y", "z"], nodes, constants)
    (group,) = find_groups(model)
    assert [list(found.shape) for found in _outputs(merge(model, group).model, 3).values()] == [[3, 2], [3, 4]]


def test_parts_that_are_joined_again_are_never_split(build: Callable[..., bytes]) -> None:
    """As the experts of a mixture are, whose outputs one product weighs."""
    rng = np.random.default_rng(0)
    constants = {name: rng.standard_normal((4, 4)).astype(np.float32) for name in "abc"}
    nodes = [
        *(helper.make_node("Gemm", ["x", name], [f"{name}.out"]) for name in "abc"),
        *(helper.make_node("Relu", [f"{name}.out"], [f"{name}.relu"]) for name in "abc"),
        helper.make_node("Concat", [f"{name}.relu" for name in "abc"], ["y"], axis=1),
    ]
    model = build(["n", 4], ["y"], nodes, constants)
    (group,) = find_groups(model)
    merged = merge(model, group).model
    assert _kinds(merged) == {"Gemm": 1, "Relu": 1}
    np.testing.assert_array_equal(_outputs(merged, 3)["y"], _outputs(model, 3)["y"])


@pytest.mark.parametrize("refinements", [Refinements(rounding="nearest", correct_bias=False), Refinements()])
def test_merged_layers_have_the_same_8_bit_weights(heads: Heads, refinements: Refinements) -> None:
    """Channel by channel, with their scales: those are each channel's own."""
    model = heads("Gemm", [3, 1, 5])
    (group,) = find_groups(model)
    rng = np.random.default_rng(0)
    batches = [{"x": rng.standard_normal((32, 24)).astype(np.float32)} for _ in range(4)]
    apart, merged = (
        _eight_bits(quantize_static(form, batches, target="x86-vnni", refinements=refinements))
        for form in (model, merge(model, group).model)
    )
    (wide,) = (name for name in merged if "+" in name)
    for index in range(2):
        together = np.concatenate([apart[branch.name][index] for branch in group])
        np.testing.assert_array_equal(merged[wide][index], together)


def _eight_bits(model: bytes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each layer, its weights ``(channels, inputs)`` and their scales."""
    graph = onnx.load_from_string(model).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    found = {}
    for node in graph.node:
        if node.op_type == "Gemm":
            weight, scale = makers[node.input[1]].input[:2]
            found[node.name] = (constants[weight], constants[scale])
    return found


@pytest.mark.parametrize("kind", ["Gemm", "MatMul", "Conv"])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_layers_behind_become_one_as_well(heads: Heads, kind: str, batch: int) -> None:
    """Heads of two layers each are two layers in all, and a Split into the outputs."""
    model = heads(kind, [3, 1, 5])
    merged = merge_all(model)
    assert merged.names == ("head0.hidden+head1.hidden+head2.hidden", "head0+head1+head2")
    assert _kinds(merged.model)[kind] == 3
    assert _kinds(merged.model)["Split"] == 1
    onnx.checker.check_model(onnx.load_from_string(merged.model), full_check=True)
    for name, found in _outputs(merged.model, batch).items():
        before = _outputs(model, batch)[name]
        assert np.abs(found - before).max() <= 1e-6 * np.abs(before).max()


def test_layers_behind_stay_apart_where_somebody_else_reads_a_part(build: Callable[..., bytes]) -> None:
    """A Split that is needed anyway is not worth a wider layer."""
    rng = np.random.default_rng(0)
    constants = {name: rng.standard_normal((4, 4)).astype(np.float32) for name in "abcd"}
    nodes = [
        helper.make_node("Gemm", ["x", "a"], ["u"]),
        helper.make_node("Gemm", ["x", "b"], ["v"]),
        helper.make_node("Gemm", ["u", "c"], ["s"]),
        helper.make_node("Gemm", ["v", "d"], ["t"]),
    ]
    model = build(["n", 4], ["s", "t", "u"], nodes, constants)
    merged = merge(model, find_groups(model)[0])
    assert find_parallel_groups(merged.model) == []
    assert merge_all(model).names == merged.names
