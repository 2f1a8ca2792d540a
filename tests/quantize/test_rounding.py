"""Tests of :mod:`mtl_edge.quantize.rounding`."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.bench.machine import TargetName
from mtl_edge.quantize import rounding as module
from mtl_edge.quantize.calibrate import calibrate
from mtl_edge.quantize.layers import layers_of
from mtl_edge.quantize.prepare import prepare
from mtl_edge.quantize.ranges import find_ranges
from mtl_edge.quantize.rounding import compensated, hessians, round_weights
from mtl_edge.quantize.saturation import HIGHEST, pair_bounds
from mtl_edge.quantize.static import find_narrowing, insert_qdq
from mtl_edge.quantize.target import Target, find_target

RNG = np.random.default_rng(0)
BATCHES = [{"x": RNG.standard_normal((16, 4, 7, 7)).astype(np.float32)} for _ in range(3)]
TARGETS: tuple[TargetName, ...] = ("x86-vnni", "x86-avx2", "arm64")


def _model() -> bytes:
    """A layer of each kind: convolution, grouped, depthwise, matrix product, and Gemm in both forms."""
    shapes = {
        "w0": (8, 4, 3, 3),
        "b0": (8,),
        "w1": (8, 4, 3, 3),
        "w2": (8, 1, 3, 3),
        "w3": (8, 6),
        "w4": (5, 6),
        "b4": (5,),
        "w5": (5, 3),
    }
    weights = {name: RNG.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    weights["w0"][3] = 0  # a channel that was pruned
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["a"], name="conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "w1"], ["c"], name="grouped", group=2, pads=[2, 2, 2, 2], dilations=[2, 2]),
        helper.make_node("Relu", ["c"], ["d"], name="relu1"),
        helper.make_node("Conv", ["d", "w2"], ["e"], name="depthwise", group=8, auto_pad="SAME_UPPER"),
        helper.make_node("GlobalAveragePool", ["e"], ["f"], name="pool"),
        helper.make_node("Flatten", ["f"], ["g"], name="flat"),
        helper.make_node("MatMul", ["g", "w3"], ["h"], name="product"),
        helper.make_node("Gemm", ["h", "w4", "b4"], ["i"], name="gemm", transB=1),
        helper.make_node("Gemm", ["i", "w5"], ["y"], name="last"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 7, 7])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return prepare(proto.SerializeToString())


@pytest.fixture(scope="module")
def prepared() -> bytes:
    """The fp32 model."""
    return _model()


@pytest.fixture(scope="module")
def ranges(prepared: bytes) -> dict[str, tuple[float, float]]:
    """Of its activations."""
    return find_ranges(calibrate(prepared, BATCHES), "minmax")


def _written(model: bytes, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """The 8-bit weights of a layer in a file, and their scales."""
    graph = onnx.load_from_string(model).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    (node,) = [node for node in graph.node if node.name == layer]
    maker = makers[node.input[1]]
    if maker.op_type == "Mul":  # of a layer that stays in float
        return tensors[makers[maker.input[0]].input[0]], tensors[maker.input[1]]
    assert maker.op_type == "DequantizeLinear"
    return tensors[maker.input[0]], tensors[maker.input[1]]


@pytest.mark.parametrize("kept", [(), ("conv", "product")], ids=["all in int8", "some in float"])
@pytest.mark.parametrize("name", TARGETS)
def test_the_file_has_exactly_the_weights_that_were_chosen(
    prepared: bytes, ranges: dict[str, tuple[float, float]], name: TargetName, kept: Sequence[str]
) -> None:
    """Whole number for whole number, and scale for scale, in every layer of every kind, for every target."""
    target = find_target(name)
    rounded = _round(prepared, ranges, target)
    written = insert_qdq(rounded.model, ranges, target, kept=kept, pinned=rounded.pinned, small=False)
    small = insert_qdq(rounded.model, ranges, target, kept=kept, pinned=rounded.pinned)
    layers = layers_of(onnx.load_from_string(rounded.model).graph)
    assert len(layers) == 6
    for layer in layers:
        if layer.node.name in kept and layer.weight.size < 256:
            continue  # too small to be worth 8 bits in a layer that stays in float
        axis, ends = rounded.pinned[layer.weight_name]
        scale = np.where(ends > 0, ends, 127).astype(np.float32) / np.float32(127)
        chosen = np.rint(layer.weight / layer.per_output(scale))
        found, scales = _written(small if layer.node.name in kept else written, layer.node.name)
        assert (found == chosen).all(), layer.node.name
        alive = ends > 0
        assert scales.reshape(-1)[alive] == pytest.approx(scale[alive], rel=1e-6), layer.node.name
        assert axis == layer.axis


def _round(prepared: bytes, ranges: dict[str, tuple[float, float]], target: Target):  # type: ignore[no-untyped-def]
    narrowed = find_narrowing(prepared, target).ranges
    return round_weights(prepared, BATCHES, ranges, narrowed=narrowed, saturates=target.saturates)


def test_compensation_changes_weights_by_little_and_answers_by_less(
    prepared: bytes, ranges: dict[str, tuple[float, float]]
) -> None:
    """Some weights are not the nearest ones; the answers of the model are closer to those of fp32 for it."""
    target = find_target("x86-vnni")
    rounded = _round(prepared, ranges, target)
    nearest = insert_qdq(prepared, ranges, target)
    chosen = insert_qdq(rounded.model, ranges, target, pinned=rounded.pinned)
    steps = np.abs(_written(chosen, "conv")[0].astype(int) - _written(nearest, "conv")[0])
    assert 0 < steps.max() < 8
    (expected,) = onnxruntime.InferenceSession(rounded.model).run(None, BATCHES[0])
    (plain,) = onnxruntime.InferenceSession(prepared).run(None, BATCHES[0])
    grid = onnx.load_from_string(prepared)
    for tensor in grid.graph.initializer:
        layer = next((layer for layer in layers_of(grid.graph) if layer.weight_name == tensor.name), None)
        if layer is not None:
            scale = layer.per_output(np.maximum(layer.largest_by_output(layer.weight), 1e-9) / 127)
            value = (np.rint(layer.weight / scale) * scale).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    (others,) = onnxruntime.InferenceSession(grid.SerializeToString()).run(None, BATCHES[0])
    assert ((expected - plain) ** 2).mean() < 0.8 * ((others - plain) ** 2).mean()


def test_no_channel_answers_worse_than_with_the_nearest_weights() -> None:
    """On what calibration saw, whatever the inputs are like: few, of low rank, dead, or unrelated."""
    for rank in (1, 4, 12):
        rows = RNG.standard_normal((2, 50, rank)) @ RNG.standard_normal((2, rank, 12))
        rows[:, :, 5] = 0
        hessian = rows.transpose(0, 2, 1) @ rows
        weight = RNG.standard_normal((2, 12, 9))
        scale = np.abs(weight).max(axis=1, keepdims=True) / 20
        found = compensated(weight, scale, hessian)
        assert (found == np.rint(found)).all()
        assert np.abs(found).max() <= 127
        errors = [((rows @ (weight - q * scale)) ** 2).sum(axis=1) for q in (found, np.rint(weight / scale))]
        assert (errors[0] <= errors[1] * (1 + 1e-9)).all()
        assert errors[0].sum() < 0.9 * errors[1].sum()


def test_zeros_stay() -> None:
    """As between the blocks of merged layers, where what was moved there would be of another task."""
    mixed = RNG.standard_normal((1, 20, 20))
    weight = RNG.standard_normal((1, 20, 6))
    weight[0, 10:, :3] = weight[0, :10, 3:] = 0
    found = compensated(weight, np.full((1, 1, 6), 0.05), mixed.transpose(0, 2, 1) @ mixed)
    assert not found[weight == 0].any()
    assert (found[weight != 0] != np.rint(weight / 0.05)[weight != 0]).any()


def test_inputs_that_do_not_depend_on_each_other_give_the_nearest_weights() -> None:
    """There is nothing to compensate with then."""
    weight = RNG.standard_normal((1, 8, 4))
    scale = np.full((1, 1, 4), 0.05)
    assert (compensated(weight, scale, np.eye(8)[None]) == np.rint(weight / scale)).all()


def test_what_is_kept_of_the_data_does_not_grow_with_it(prepared: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """One matrix for each group of each layer, that of all inputs together."""
    monkeypatch.setattr(module, "_ROWS", 16)  # all values of these small maps
    layers = layers_of(onnx.load_from_string(prepared).graph)
    once, twice = (hessians(prepared, layers, batches, {}) for batches in (BATCHES, BATCHES + BATCHES))
    for layer in layers:
        matrices = layer.matrices(layer.weight)
        assert twice[layer.weight_name].shape == (*matrices.shape[:2], matrices.shape[1])
        assert twice[layer.weight_name] == pytest.approx(2 * once[layer.weight_name], rel=1e-5, abs=1e-4)


def test_weights_for_a_processor_that_saturates_still_cannot_saturate() -> None:
    """Compensation must not undo what narrowing did."""
    weight = RNG.uniform(0.98, 1, (16, 2)).astype(np.float32)  # all pairs are at the limit
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], name="layer", transB=1)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(weight, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = prepare(proto.SerializeToString())
    # What the first column spoils, the second, which counts little, must make up for in large steps.
    x = RNG.random((64, 1)) * [1, 0.1] + 1e-3 * RNG.random((64, 2))
    batches = [{"x": x.astype(np.float32)}]
    ranges = find_ranges(calibrate(model, batches), "minmax")
    target = find_target("x86-avx2")
    narrowed = find_narrowing(model, target).ranges
    rounded = round_weights(model, batches, ranges, narrowed=narrowed, saturates=True)
    quantized, _ = _written(insert_qdq(rounded.model, ranges, target, pinned=rounded.pinned), "layer")
    assert pair_bounds(quantized.T).max() <= HIGHEST
    free = round_weights(model, batches, ranges, narrowed=narrowed, saturates=False)
    quantized, _ = _written(insert_qdq(free.model, ranges, target, pinned=free.pinned), "layer")
    assert pair_bounds(quantized.T).max() > HIGHEST  # so it is the check that holds them back


def test_matrices_that_do_not_fit_together_are_found_one_after_the_other(
    prepared: bytes, ranges: dict[str, tuple[float, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In more passes over the data, with the same result; a layer whose matrix is too large is left as it is."""
    target = find_target("x86-vnni")
    monkeypatch.setattr(module, "_ROWS", 16)  # all values of these small maps
    together = _round(prepared, ranges, target)
    monkeypatch.setattr(module, "_HELD", 1)
    apart = _round(prepared, ranges, target)
    assert apart.pinned.keys() == together.pinned.keys()
    assert apart.model == together.model
    monkeypatch.setattr(module, "_LONGEST", 10)
    assert _round(prepared, ranges, target).pinned.keys() == {"w2", "w3", "w4", "w5"}
