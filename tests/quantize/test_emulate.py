"""Tests of :mod:`mtl_edge.quantize.emulate`, and of :mod:`mtl_edge.quantize.narrow`, which makes it needless."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.bench.machine import TargetName
from mtl_edge.errors import DataError, ModelError
from mtl_edge.quantize import emulate
from mtl_edge.quantize.emulate import Emulator, open_as_on
from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.narrow import narrowing
from mtl_edge.quantize.noise import output_noise, without_vnni
from mtl_edge.quantize.saturation import HIGHEST, pair_bounds
from mtl_edge.quantize.static import quantize_static
from mtl_edge.quantize.target import this_target

RNG = np.random.default_rng(0)
X = RNG.random((16, 4, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> bytes:
    """Two convolutions, a residual addition, a depthwise convolution and a matrix product."""
    weights = {
        "w1": RNG.random((16, 4, 3, 3)),  # all of one sign: neighbours add up
        "w2": np.sign(RNG.standard_normal((16, 16, 1, 1))) * 0.1,
        "w3": RNG.random((16, 1, 3, 3)),
        "w4": np.diag(RNG.random(16))[:, ::2],  # of two neighbours one is zero
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], "second"),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("Conv", ["d", "w3"], ["e"], "depthwise", group=16, pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("MatMul", ["g", "w4"], ["y"], "head"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(proto.SerializeToString())


@pytest.fixture(scope="module")
def int8(model: bytes) -> bytes:
    """With all bits in use."""
    return quantize_static(model, [{"x": X}], target="x86-vnni")


@pytest.fixture(scope="module")
def safe(model: bytes) -> bytes:
    """For a processor without VNNI."""
    return quantize_static(model, [{"x": X}], target="x86-avx2")


def test_risks_are_found_per_layer(int8: bytes) -> None:
    """The layer with heavy neighbours saturates, the sparse and the depthwise one never can."""
    emulator = Emulator(int8)
    emulator.run(None, {"x": X})
    risks = {risk.layer: risk for risk in emulator.risks}
    assert set(risks) == {"first", "second", "head"}
    assert risks["first"].share > 0
    assert HIGHEST < risks["first"].peak <= risks["first"].bound
    assert not risks["head"].can_saturate
    assert (risks["head"].peak, risks["head"].share) == (0, 0)


def test_outputs_are_those_of_the_runtime_where_nothing_is_cut_off(safe: bytes) -> None:
    """Nothing is left to emulate."""
    emulator = Emulator(safe)
    assert not any(risk.can_saturate for risk in emulator.risks)
    np.testing.assert_array_equal(
        emulator.run(["y"], {"x": X})[0], onnxruntime.InferenceSession(safe).run(None, {"x": X})[0]
    )


@pytest.mark.slow
def test_a_model_answers_on_haswell_as_predicted(
    int8: bytes, safe: bytes, on_haswell: Callable[..., dict[str, np.ndarray]]
) -> None:
    """To the last bit of what is int8; with narrowed weights it answers as it does here."""
    found = on_haswell({"int8": (int8, X), "safe": (safe, X)})
    (predicted,) = Emulator(int8).run(None, {"x": X})
    (exact,) = Emulator(int8, "exact").run(None, {"x": X})
    (here,) = Emulator(safe).run(None, {"x": X})
    assert np.abs(predicted - exact).max() > 0.01 * np.abs(exact).max()
    np.testing.assert_array_equal(found["int8"], predicted)
    np.testing.assert_array_equal(found["safe"], here)


def test_only_what_could_saturate_is_narrowed(model: bytes) -> None:
    """And no more than to 7 bits; what is narrowed stays below the limit whatever the activations."""
    found = narrowing(onnx.load_from_string(model).graph, set())
    assert [item.layer for item in found.layers] == ["first", "second"]
    assert all(7 <= item.bits < 8 and 0 < item.channels <= item.of for item in found.layers)
    assert narrowing(onnx.load_from_string(model).graph, {"first", "second"}).layers == ()


def test_no_weights_for_avx2_can_saturate(safe: bytes) -> None:
    """The depthwise layer and the sparse one keep 8 bits."""
    graph = onnx.load_from_string(safe).graph
    constants, nodes = constants_of(graph), {node.name: node for node in graph.node}
    makers = {name: node for node in graph.node for name in node.output}
    weights = {
        layer: constants[makers[nodes[layer].input[1]].input[0]] for layer in ("first", "second", "depthwise", "head")
    }
    for layer in ("first", "second"):
        rows = np.moveaxis(weights[layer], 1, -1).reshape(len(weights[layer]), -1)
        assert pair_bounds(rows.T).max() <= HIGHEST
    assert np.abs(weights["second"].astype(int)).max() == 64
    for layer in ("depthwise", "head"):
        assert np.abs(weights[layer].astype(int)).max() == 127


def test_noise_is_worse_without_vnni_and_not_for_what_is_made_for_it(model: bytes, int8: bytes, safe: bytes) -> None:
    """Predicted on any processor."""
    fp32 = onnxruntime.InferenceSession(model)
    worse, same = without_vnni(fp32, int8, {"x": X}), without_vnni(fp32, safe, {"x": X})
    assert worse is not None
    assert same is not None
    assert worse.noise_db["y"] < same.noise_db["y"] - 10
    assert [risk.layer for risk in worse.layers] == ["first", "second"]
    assert same.layers == ()


@pytest.mark.parametrize("here", ["x86-avx2", "x86-vnni"])
def test_a_model_for_vnni_is_judged_as_vnni_computes_it(
    model: bytes, int8: bytes, here: TargetName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a box without VNNI its layers are computed exactly; on one with it, the runtime does so itself."""
    monkeypatch.setattr(emulate, "this_target", lambda: here)
    session = open_as_on(int8, "x86-vnni")
    assert isinstance(session, Emulator) == (here == "x86-avx2")
    if here == "x86-avx2" or this_target() == "x86-vnni":
        fp32 = onnxruntime.InferenceSession(model)
        (exact,) = Emulator(int8, "exact").run(None, {"x": X})
        np.testing.assert_array_equal(session.run(None, {"x": X})[0], exact)
        assert output_noise(fp32, session, {"x": X})["y"] > output_noise(fp32, Emulator(int8), {"x": X})["y"] + 10
    assert not isinstance(open_as_on(int8, "x86-avx2"), Emulator)


def test_what_cannot_be_emulated_is_one_line(int8: bytes) -> None:
    """A model that is none, and data of another shape."""
    with pytest.raises(ModelError, match="emulation: ONNX Runtime cannot load the model"):
        Emulator(b"\x00not a model")
    with pytest.raises(DataError, match="emulation: 'x' must have the shape"):
        Emulator(int8).run(None, {"x": X[0]})
