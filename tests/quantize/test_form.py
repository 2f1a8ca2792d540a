"""Tests of :mod:`mtl_edge.quantize.form`: int8 of a network with layers of several tasks as one."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.quantize import race, static
from mtl_edge.quantize.audit import audit
from mtl_edge.quantize.form import Form, side_by_side
from mtl_edge.quantize.noise import output_noise
from mtl_edge.quantize.prepare import prepare
from mtl_edge.quantize.refinements import Refinements
from mtl_edge.quantize.static import insert_form, quantize_static
from mtl_edge.quantize.target import find_target
from mtl_edge.runtime import open_session

TASKS = 6


@pytest.fixture(scope="module")
def model() -> bytes:
    """A trunk of one layer, and heads of two."""
    rng = np.random.default_rng(0)
    constants: dict[str, np.ndarray] = {}
    nodes: list[onnx.NodeProto] = []

    def layer(source: str, name: str, rows: int, columns: int) -> str:
        constants[f"{name}.w"] = rng.standard_normal((rows, columns)).astype(np.float32) / np.float32(np.sqrt(rows))
        constants[f"{name}.b"] = rng.standard_normal(columns).astype(np.float32)
        nodes.append(helper.make_node("Gemm", [source, f"{name}.w", f"{name}.b"], [name], name=name))
        return name

    def active(source: str) -> str:
        nodes.append(helper.make_node("Relu", [source], [f"{source}.active"], name=f"{source}.active"))
        return f"{source}.active"

    trunk = active(layer("x", "trunk", 16, 32))
    for index in range(TASKS):
        layer(active(layer(trunk, f"hidden{index}", 32, 8 + index)), f"head{index}", 8 + index, 1)
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info(f"head{index}", TensorProto.FLOAT, ["n", 1]) for index in range(TASKS)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(proto.SerializeToString())


@pytest.fixture(scope="module")
def batches() -> list[dict[str, np.ndarray]]:
    """256 samples."""
    rng = np.random.default_rng(1)
    return [{"x": rng.standard_normal((64, 16)).astype(np.float32)} for _ in range(4)]


def _ranges(model: bytes, batch: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    proto = onnx.load_from_string(model)
    names = [name for node in proto.graph.node for name in node.output]
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    values = open_session(proto.SerializeToString()).run(names, batch)
    found = {name: (min(float(v.min()), 0.0), max(float(v.max()), 0.0)) for name, v in zip(names, values, strict=True)}
    return found | {"x": (float(batch["x"].min()), float(batch["x"].max()))}


def test_a_merged_layer_has_the_range_of_all_its_parts(model: bytes, batches: list[dict[str, np.ndarray]]) -> None:
    """One tensor has one scale, so nothing of a part may be cut off."""
    prepared = prepare(model)
    ranges = _ranges(prepared, batches[0])
    wide = side_by_side(Form(prepared, prepared, ranges))
    assert wide is not None
    assert [name.count("+") for name in wide.merged] == [TASKS - 1, TASKS - 1]
    (last,) = (node for node in onnx.load_from_string(wide.model).graph.node if node.op_type == "Split")
    parts = [ranges[f"head{index}"] for index in range(TASKS)]
    assert wide.ranges[last.input[0]] == (min(low for low, _ in parts), max(high for _, high in parts))


def test_the_network_runs_in_int8_with_fewer_nodes(model: bytes, batches: list[dict[str, np.ndarray]]) -> None:
    """Three layers are left of thirteen, none in float, and the outputs are as good as those of one by one."""
    prepared, target = prepare(model), find_target("x86-vnni")
    form = Form(prepared, prepared, _ranges(prepared, batches[0]))
    wide = side_by_side(form)
    assert wide is not None
    one_by_one, as_one = insert_form(form, target), insert_form(wide, target)
    counted = audit(as_one).count("int8")
    assert counted == {"QGemm": 3}
    assert not audit(as_one).count("float")
    assert audit(one_by_one).count("int8") == {"QGemm": 1 + 2 * TASKS}
    fp32 = open_session(model)
    apart, together = (output_noise(fp32, open_session(form), *batches) for form in (one_by_one, as_one))
    assert min(together.values()) > min(apart.values()) - 6  # heads share a range now


@pytest.mark.parametrize("refinements", [Refinements(rounding="nearest", correct_bias=False), Refinements()])
@pytest.mark.parametrize("faster", [True, False])
def test_layers_are_merged_only_where_that_is_faster(
    model: bytes,
    batches: list[dict[str, np.ndarray]],
    refinements: Refinements,
    faster: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The clock decides; here it counts nodes, or shuns splits, and likes int8."""
    sizes: dict[int, float] = {}

    def opened(content: bytes, threads: int) -> object:
        session = open_session(content, threads=threads)
        nodes = onnx.load_from_string(content).graph.node
        cost = len(nodes) if faster else sum(1000 if node.op_type == "Split" else 1 for node in nodes)
        sizes[id(session)] = cost * (0.1 if any(node.op_type == "QuantizeLinear" for node in nodes) else 10)
        return session

    monkeypatch.setattr(race, "open_session", opened)
    monkeypatch.setattr(race._Course, "_time", lambda course, session: sizes[id(session)])
    int8 = quantize_static(model, batches, target="x86-vnni", placement="measured", refinements=refinements)
    layers = [node for node in onnx.load_from_string(int8).graph.node if node.op_type == "Gemm"]
    assert len(layers) == (3 if faster else 1 + 2 * TASKS)
    assert min(output_noise(open_session(model), open_session(int8), *batches).values()) > 20


def test_weights_keep_the_values_that_they_have_alone(model: bytes, batches: list[dict[str, np.ndarray]]) -> None:
    """They are rounded before layers are merged, and their scales are each channel's own."""
    prepared, target = prepare(model), find_target("x86-vnni")
    ranges = _ranges(prepared, batches[0])
    rounded = static.round_weights(prepared, batches, ranges, narrowed={}, saturates=False)
    form = Form(rounded.model, prepared, ranges, rounded.pinned)
    wide = side_by_side(form)
    assert wide is not None

    def eight_bits(content: bytes) -> list[np.ndarray]:
        graph = onnx.load_from_string(content).graph
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        makers = {name: node for node in graph.node for name in node.output}
        return [constants[makers[node.input[1]].input[0]] for node in graph.node if node.op_type == "Gemm"]

    trunk, *heads = eight_bits(insert_form(form, target))
    merged_trunk, first, second = eight_bits(insert_form(wide, target))
    np.testing.assert_array_equal(trunk, merged_trunk)
    np.testing.assert_array_equal(first, np.concatenate(heads[0::2], axis=1))
    starts = np.cumsum([0, *(len(block) for block in heads[1::2])])
    for column, (block, (start, end)) in enumerate(zip(heads[1::2], itertools.pairwise(starts), strict=True)):
        np.testing.assert_array_equal(second[start:end, column], block[:, 0])
    assert np.count_nonzero(second) == sum(np.count_nonzero(block) for block in heads[1::2])
