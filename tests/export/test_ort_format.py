"""``.ort`` files compute the same, and what goes wrong with them elsewhere is said."""

from pathlib import Path

import numpy as np
import pytest

from mtl_edge.bench.inputs import random_inputs
from mtl_edge.errors import ModelError
from mtl_edge.export.ort_format import Platform, Style, convert_to_ort, operators_in
from mtl_edge.runtime import open_session

MODELS = Path(__file__).parents[2] / "models"
INT8 = MODELS / "mnist-pairs" / "model.onnx"
FLOAT_CONVOLUTIONS = MODELS / "fashion-pairs-mobilenet" / "model.onnx"


@pytest.mark.parametrize("platform", ["arm", "amd64"])
@pytest.mark.parametrize("style", ["fixed", "runtime"])
def test_every_form_computes_the_same(platform: Platform, style: Style, capfd: pytest.CaptureFixture[str]) -> None:
    """Of a float model within last bits; neither converter nor runtime says anything."""
    model = (MODELS / "hello-mlp" / "model.onnx").read_bytes()
    made = convert_to_ort(model, platform, style)
    session = open_session(model, threads=1)
    feeds = random_inputs(session.get_inputs(), batch=4, dims={}, place="test")
    for before, after in zip(session.run(None, feeds), open_session(made.content).run(None, feeds), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    assert made.name == f"model.{platform}{'.runtime' if style == 'runtime' else ''}.ort"
    assert "Gemm" in {name.removeprefix("Fused") for names in operators_in(made.config).values() for name in names}
    assert any("enable_saved_runtime_optimizations" in so for so in made.warnings) == (style == "runtime")
    assert capfd.readouterr() == ("", "")


def test_int8_for_arm_is_not_for_x86() -> None:
    """It has no fast kernels there."""
    made = convert_to_ort(INT8.read_bytes(), "arm")
    assert made.int8
    assert any("ten times slower on x86" in warning for warning in made.warnings)
    assert not any("loads on x86 only" in warning for warning in made.warnings)


def test_float_convolutions_for_amd64_load_on_x86_alone() -> None:
    """Their operators are named, and the form that loads everywhere."""
    made = convert_to_ort(FLOAT_CONVOLUTIONS.read_bytes(), "amd64")
    (warning,) = [warning for warning in made.warnings if "loads on x86 only" in warning]
    assert "Conv" in warning
    assert "com.microsoft.nchwc" in warning
    assert "one for arm loads everywhere" in warning
    assert not any(
        "com.microsoft.nchwc" in domain
        for domain in operators_in(convert_to_ort(FLOAT_CONVOLUTIONS.read_bytes(), "arm").config)
    )


def test_the_list_of_operators_can_have_their_types() -> None:
    """Both forms are read."""
    plain = convert_to_ort(INT8.read_bytes(), "arm")
    typed = convert_to_ort(INT8.read_bytes(), "arm", reduce_types=True)
    assert "{" in typed.config
    assert "{" not in plain.config
    assert set(operators_in(typed.config)) == set(operators_in(plain.config))
    assert not any(line.startswith("#") for line in plain.config.splitlines())


def test_what_is_no_model_is_refused() -> None:
    """One line, from the runtime."""
    with pytest.raises(ModelError, match="ort: the model cannot be converted"):
        convert_to_ort(b"nonsense", "arm")
