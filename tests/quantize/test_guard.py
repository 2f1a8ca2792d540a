"""Tests of :mod:`mtl_edge.quantize.guard`, on a network of which one layer breaks one of two outputs."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.bench.machine import TargetName
from mtl_edge.cli import main
from mtl_edge.errors import DataError
from mtl_edge.quantize.file import Quantized, quantize_file
from mtl_edge.quantize.guard import BROKEN_DB, HEALED_DB
from mtl_edge.quantize.noise import noise_of, output_noise
from mtl_edge.quantize.static import insert_qdq
from mtl_edge.quantize.target import find_target, this_target
from mtl_edge.runtime import open_session

ELSEWHERE: TargetName = "x86-avx2" if this_target() == "arm64" else "arm64"
"""Not this box, so that nothing is timed and all goes to int8."""


def _quantize(model: Path, calibration: Path, **options: Any) -> Quantized:
    return quantize_file(model, calibration, model.with_name("int8.onnx"), **{"target": ELSEWHERE, **options})


def _noise(model: Path, found: Quantized, x: np.ndarray) -> dict[str, float]:
    return output_noise(open_session(model), open_session(Path(found.path)), {"x": x})


def test_the_layer_that_breaks_an_output_goes_back_to_float(
    unequal_model: Path, unequal_samples: Path, unequal_arrays: dict[str, np.ndarray]
) -> None:
    """And only that one, though nobody gave a budget; what is said of the output is so of the file."""
    found = _quantize(unequal_model, unequal_samples)
    assert found.guarded is not None
    assert (found.guarded.samples, found.guarded.seen) == (64, True)
    assert found.guarded.broken.keys() == {"right"}
    assert found.guarded.reverted == ("right_head",)
    assert found.guarded.shipped_broken == ()
    assert found.guarded.noise_db == pytest.approx(_noise(unequal_model, found, unequal_arrays["x"]), abs=0.5)
    assert found.guarded.noise_db["right"] > HEALED_DB
    assert found.latency_ratio is None


def test_what_leaves_the_range_of_calibration_goes_back_as_a_whole(
    unequal_model: Path, unequal_samples: Path, unequal_arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """Where most samples do, no range holds; samples without labels are enough to see it, and are looked at first."""
    later = tmp_path / "later.npz"
    np.savez(later, x=unequal_arrays["x"] * 20)
    found = _quantize(unequal_model, unequal_samples, labelled=later)
    assert found.guarded is not None
    assert not found.guarded.seen
    assert found.guarded.beyond > found.guarded.samples / 2
    assert "left" in found.guarded.broken
    assert {"trunk", "relu", "left_head"} <= set(found.guarded.reverted)
    assert _noise(unequal_model, found, unequal_arrays["x"] * 20)["left"] > HEALED_DB


def test_samples_that_were_not_drawn_are_looked_at(
    unequal_model: Path, unequal_samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where nothing is broken, once is enough."""
    looks = []

    def counted(*arguments: Any) -> dict[str, float]:
        looks.append(1)
        return noise_of(*arguments)

    monkeypatch.setattr("mtl_edge.quantize.guard.noise_of", counted)
    monkeypatch.setattr("mtl_edge.quantize.guard.BROKEN_DB", -100)
    found = _quantize(unequal_model, unequal_samples, samples=32)
    assert found.guarded is not None
    assert (found.guarded.samples, found.guarded.seen, found.guarded.broken) == (32, False, {})
    assert len(looks) == 1


def test_all_is_all_but_says_what_it_breaks(
    unequal_model: Path, unequal_samples: Path, unequal_arrays: dict[str, np.ndarray]
) -> None:
    """Whoever asks for int8 everywhere gets it, and a warning; without the guard nobody looks."""
    found = _quantize(unequal_model, unequal_samples, placement="all")
    assert found.guarded is not None
    assert (found.guarded.reverted, found.guarded.shipped_broken) == ((), ("right",))
    assert _noise(unequal_model, found, unequal_arrays["x"])["right"] < BROKEN_DB
    assert _quantize(unequal_model, unequal_samples, guarding=False).guarded is None


def test_tasks_with_budgets_are_left_to_these(unequal_artifact: Path, unequal_samples: Path) -> None:
    """Their metrics on labels say more than noise does."""
    found = _quantize(unequal_artifact, unequal_samples, labelled=unequal_samples, max_drop=["right=900%"])
    assert found.guarded is not None
    assert found.guarded.noise_db.keys() == {"left"}
    assert found.budgets is not None
    assert found.budgets.reverted == found.guarded.reverted == ()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ([], "guard: int8 would break right ("),
        (["--placement", "all"], "Warning: int8 breaks right ("),
    ],
)
def test_the_command_says_what_it_did(
    unequal_model: Path, unequal_samples: Path, tmp_path: Path, options: list[str], line: str
) -> None:
    """In one line that names the output, the samples and the layers."""
    arguments = ["quantize", str(unequal_model), "--calib", str(unequal_samples), "-o", str(tmp_path / "int8.onnx")]
    done = CliRunner().invoke(main, [*arguments, "--target", ELSEWHERE, "--no-cache", *options])
    assert done.exit_code == 0, done.output
    (said,) = [each for each in done.output.splitlines() if "dB) on 64 samples" in each]
    assert said.startswith(line)
    assert ("back in float are right_head, now " in said) == (not options)


def test_samples_that_do_not_fit_are_one_line(unequal_model: Path, unequal_samples: Path, tmp_path: Path) -> None:
    """Which names their file."""
    np.savez(tmp_path / "other.npz", picture=np.zeros((40, 8), np.float32))
    with pytest.raises(DataError, match=r"other\.npz: no array 'x', found picture"):
        _quantize(unequal_model, unequal_samples, labelled=tmp_path / "other.npz")


def _always_the_same() -> bytes:
    """One output that never varies."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], name="product"),
        helper.make_node("Mul", ["product", "zero"], ["nothing"], name="nothing"),
        helper.make_node("Add", ["nothing", "b"], ["y"], name="y"),
    ]
    values = {"w": np.eye(8, 1, dtype=np.float32), "zero": np.zeros(1, np.float32), "b": np.full(1, 7, np.float32)}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_an_output_that_never_varies_has_nothing_to_lose(tmp_path: Path, unequal_samples: Path) -> None:
    """Its signal is nothing, and any noise would be more."""
    (tmp_path / "model.onnx").write_bytes(_always_the_same())
    assert _quantize(tmp_path / "model.onnx", unequal_samples).guarded is None


def test_float_beside_int8_reads_what_float_gives() -> None:
    """Not the tensor that the int8 layer beside it reads, which is cut off at the ends of its range."""
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["a"], name="trunk"),
        helper.make_node("Gemm", ["a", "w"], ["y"], name="left"),
        helper.make_node("Gemm", ["a", "w"], ["z"], name="right"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "yz"],
        [numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    ranges = dict.fromkeys("axyz", (-1.0, 1.0))
    int8 = insert_qdq(model, ranges, find_target("x86-avx2"), kept=("trunk", "right"))
    x = np.full((1, 4), 5, np.float32)
    cut, exact = open_session(int8).run(None, {"x": x})
    assert cut.max() < 1.1
    assert np.array_equal(exact, x)
    written = onnx.load_from_string(int8).graph
    assert [node.op_type for node in written.node].count("QuantizeLinear") == 1
