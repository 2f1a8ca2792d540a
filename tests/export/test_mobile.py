"""What phones' accelerators could run, in plain words."""

from pathlib import Path

from mtl_edge.export.batch import set_batch
from mtl_edge.export.mobile import Accelerator, check_mobile

MODELS = Path(__file__).parents[2] / "models"


def _checked(model: bytes) -> dict[str, Accelerator]:
    return {found.name.partition(" ")[0]: found for found in check_mobile(model)[::-1]}


def test_an_open_batch_is_what_to_change() -> None:
    """The same graph with a fixed one is fit."""
    model = (MODELS / "hello-mlp" / "model.onnx").read_bytes()
    found = _checked(model)
    assert (found["NNAPI"].verdict, found["NNAPI"].if_fixed) == ("no", "yes")
    assert found["NNAPI"].advice == ("yes with fixed shapes: export with --batch 1",)
    fixed = _checked(set_batch(model, 1))
    assert (fixed["NNAPI"].verdict, fixed["NNAPI"].if_fixed, fixed["NNAPI"].advice) == ("yes", None, ())
    assert fixed["CoreML"].nodes[0] == fixed["CoreML"].nodes[1]


def test_int8_is_not_for_coreml() -> None:
    """Q/DQ nodes are missing, and counted."""
    found = _checked(set_batch((MODELS / "mnist-pairs" / "model.onnx").read_bytes(), 1))
    assert found["CoreML"].verdict == "no"
    assert found["CoreML"].missing["QuantizeLinear"] > 1
    assert any("give it the fp32 or the fp16 model" in line for line in found["CoreML"].advice)
    assert found["NNAPI"].verdict == "yes"
    assert found["XNNPACK"].verdict == "maybe"


def test_what_runs_on_the_cpu_is_named() -> None:
    """Of a table, the encoding does."""
    found = _checked((MODELS / "adult" / "model.onnx").read_bytes())["NNAPI"]
    assert found.missing["IsNaN"] == 1
    assert any("encoding of tables runs on the CPU" in line for line in found.advice)
