"""Tests of :mod:`mtl_edge.optimize.pairs`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static

from mtl_edge.cli import main
from mtl_edge.optimize.pairs import without_redundant_pairs
from mtl_edge.quantize.prepare import quiet

Build = Callable[..., bytes]
CONSTANTS = {
    "s": np.array(0.1, np.float32),
    "z": np.array(128, np.uint8),
    "same_s": np.array(0.1, np.float32),
    "same_z": np.array(128, np.uint8),
    "other_s": np.array(0.2, np.float32),
    "other_z": np.array(127, np.uint8),
    "signed_z": np.array(0, np.int8),
    "half_s": np.array(0.1, np.float16),
    "tiny_s": np.array(1e-41, np.float32),
    "each_s": np.array([0.1, 0.2, 0.3, 0.4], np.float32),
    "each_z": np.array([1, 2, 3, 4], np.uint8),
}


def _node(kind: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def _quantize(inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return _node("QuantizeLinear", inputs, output, **attributes)


def _dequantize(inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return _node("DequantizeLinear", inputs, output, **attributes)


def _made(build: Build, nodes: list[onnx.NodeProto], *outputs: str) -> bytes:
    read = {name for node in nodes for name in node.input}
    return build(["n", 4], outputs, nodes, {name: CONSTANTS[name] for name in CONSTANTS if name in read})


def _run(model: bytes, x: np.ndarray) -> list[np.ndarray]:
    """The graph as it stands: the runtime would take such pairs out itself."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return list(onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, {"x": x}))


def _kinds(model: bytes) -> list[str]:
    return [node.op_type.removesuffix("Linear") for node in onnx.load_from_string(model).graph.node]


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        (
            [
                _quantize("x s z", "a"),
                _dequantize("a s z", "b"),
                _quantize("b same_s same_z", "c"),
                _dequantize("c same_s same_z", "d"),
                _quantize("d s z", "e"),
                _dequantize("e s z", "y"),
            ],
            ["Quantize", "Dequantize"],
        ),
        (
            [_quantize("x s", "a"), _dequantize("a s", "b"), _quantize("b same_s", "c"), _dequantize("c s", "y")],
            ["Quantize", "Dequantize"],
        ),
        (
            [
                _quantize("x each_s each_z", "a", axis=1),
                _dequantize("a each_s each_z", "b", axis=1),
                _quantize("b each_s each_z", "c", axis=1),
                _dequantize("c each_s each_z", "y", axis=1),
            ],
            ["Quantize", "Dequantize"],
        ),
        (
            [
                _quantize("x s z", "a"),
                _dequantize("a s z", "b"),
                _quantize("b s z", "c"),
                _node("Relu", "b", "r"),
                _dequantize("c s z", "d"),
                _node("Add", "d r", "y"),
            ],
            ["Quantize", "Dequantize", "Relu", "Dequantize", "Add"],
        ),
        (
            [
                _quantize("x s z", "a"),
                _quantize("x same_s same_z", "b"),
                _dequantize("a s z", "c"),
                _dequantize("b s z", "d"),
                _node("Add", "c d", "y"),
            ],
            ["Quantize", "Dequantize", "Dequantize", "Add"],
        ),
    ],
    ids=["chain", "no zero point", "for each channel", "read between", "twice"],
)
def test_what_changes_no_bit_goes(build: Build, nodes: list[onnx.NodeProto], left: list[str]) -> None:
    """Equal constants need not be the same ones; the answers are equal to the last bit."""
    model = _made(build, nodes, "y")
    shorter = without_redundant_pairs(model)
    assert _kinds(shorter) == left
    x = np.random.default_rng(0).normal(0, 20, (64, 4)).astype(np.float32)
    np.testing.assert_array_equal(_run(shorter, x), _run(model, x))
    assert without_redundant_pairs(shorter) == shorter


@pytest.mark.parametrize("scale", [1.2e-38, 1e-30, 1 / 3, 0.1, 7.3, 1e30, 5e33])
def test_every_code_comes_back_as_it_was(build: Build, scale: float) -> None:
    """So that the rule is exact: all 256, with small and with large scales."""
    codes = np.arange(256, dtype=np.float32).reshape(64, 4)
    nodes = [_node("Cast", "x", "a", to=2), _dequantize("a k z", "b"), _quantize("b k z", "c")]
    nodes.append(_node("Cast", "c", "y", to=1))
    model = build(["n", 4], ["y"], nodes, {"k": np.array(scale, np.float32), "z": CONSTANTS["z"]})
    np.testing.assert_array_equal(_run(model, codes)[0], codes)
    assert _kinds(without_redundant_pairs(model)) == ["Cast", "Cast"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("s z", "other_s z"),
        ("s z", "s other_z"),
        ("s z", "s signed_z"),
        ("s signed_z", "s"),
        ("tiny_s z", "tiny_s z"),
        ("each_s each_z", "s z"),
    ],
)
def test_what_changes_a_value_stays(build: Build, before: str, after: str) -> None:
    """Other scales, zero points or types, and scales so small that a product with them is not exact."""
    nodes = [_quantize(f"x {before}", "a"), _dequantize(f"a {before}", "b"), _quantize(f"b {after}", "c")]
    model = _made(build, [*nodes, _dequantize(f"c {after}", "y")], "y")
    assert without_redundant_pairs(model) == model


def test_outputs_keep_their_names(build: Build) -> None:
    """Codes that are outputs twice stay two outputs."""
    nodes = [_quantize("x s z", "a"), _dequantize("a s z", "b"), _quantize("b s z", "y"), _quantize("x s z", "w")]
    proto = onnx.load_from_string(_made(build, nodes, "y", "w"))
    for value in proto.graph.output:
        value.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    shorter = without_redundant_pairs(proto.SerializeToString())
    assert [value.name for value in onnx.load_from_string(shorter).graph.output] == ["y", "w"]
    x = np.random.default_rng(0).normal(0, 9, (8, 4)).astype(np.float32)
    np.testing.assert_array_equal(_run(shorter, x), _run(proto.SerializeToString(), x))


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Some samples, once."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._batches = iter([{"x": rng.standard_normal((4, 24, 6, 6)).astype(np.float32)} for _ in range(2)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def test_an_int8_model_of_another_tool_becomes_shorter(
    heads: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime's own quantizer writes a pair for each reader where it is told to; the outputs are the same."""
    fp32, int8, after = (tmp_path / name for name in ("fp32.onnx", "int8.onnx", "int8-optimized.onnx"))
    fp32.write_bytes(heads("Conv", widths=(2, 3, 4)))
    with quiet():
        quantize_static(fp32, int8, _Reader(), per_channel=True, extra_options={"DedicatedQDQPair": True})
    monkeypatch.setattr("mtl_edge.optimize.optimize.is_faster", lambda *_: False)  # the clock is not tested here
    done = CliRunner().invoke(main, ["optimize", str(int8)])
    assert done.exit_code == 0, done.output
    before, shorter = (_kinds(path.read_bytes()) for path in (int8, after))
    gone = before.count("Quantize") - shorter.count("Quantize")
    assert gone > 0
    assert f"{gone} redundant conversions" in done.output
    assert "the same to the last bit" in done.output
    assert shorter.count("Conv") == before.count("Conv")
