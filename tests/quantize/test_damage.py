"""Tests of :mod:`mtl_edge.quantize.damage`, on a network of which one layer breaks one of two tasks."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.artifact import Manifest, write_artifact
from mtl_edge.cli import main
from mtl_edge.data.splits import Samples
from mtl_edge.errors import ModelError
from mtl_edge.preprocessing import Pixels
from mtl_edge.quantize import damage as module
from mtl_edge.quantize.damage import DamageMatrix, measure_damage
from mtl_edge.quantize.source import calibrated_source
from mtl_edge.tasks import Regression

RNG = np.random.default_rng(0)
W = [RNG.standard_normal(shape).astype(np.float32) for shape in ((7, 8), (8, 1), (8, 1))]
W[2][0] = 0  # the column that is a thousand times larger than the others, and counts for nothing
X = RNG.standard_normal((64, 8)).astype(np.float32)
X[:, 0] *= 1000
ARRAYS = {"x": X, "left": (np.maximum(X[:, 1:] @ W[0], 0) @ W[1])[:, 0], "right": (2 * X @ W[2])[:, 0]}


def _model() -> onnx.ModelProto:
    """One task reads the columns of like size, the other also a much larger one, which counts for nothing."""
    nodes = [
        helper.make_node("Slice", ["x", "from", "to", "axis"], ["like"], name="slice"),
        helper.make_node("MatMul", ["like", "w0"], ["a"], name="trunk"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("MatMul", ["b", "w1"], ["left"], name="left_head"),
        helper.make_node("Mul", ["x", "two"], ["all"], name="double"),
        helper.make_node("MatMul", ["all", "w2"], ["right"], name="right_head"),
    ]
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in
              (("x", 8), ("left", 1), ("right", 1))}  # fmt: skip
    tensors = [numpy_helper.from_array(weight, f"w{index}") for index, weight in enumerate(W)]
    tensors += [numpy_helper.from_array(np.array([n]), name) for name, n in (("from", 1), ("to", 8), ("axis", 1))]
    tensors.append(numpy_helper.from_array(np.array(2, np.float32), "two"))
    graph = helper.make_graph(nodes, "graph", [values["x"]], [values["left"], values["right"]], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Without a manifest, as other tools write it."""
    onnx.save(_model(), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Inputs and targets of both tasks, which the network computes exactly."""
    np.savez(tmp_path / "samples.npz", **ARRAYS)
    return tmp_path / "samples.npz"


@contextmanager
def _matrix(model: Path, samples: Path, **options: object) -> Iterator[Callable[[], DamageMatrix]]:
    with calibrated_source(model, samples, samples=64, batch_size=32, seed=0, folder=None) as source:
        yield lambda: measure_damage(model, source, target="x86-vnni", method="minmax", **options)  # type: ignore[arg-type]


def test_the_layer_that_breaks_a_task_is_the_first(model: Path, samples: Path) -> None:
    """It breaks its own task alone, and without it the task is as good as in fp32."""
    with _matrix(model, samples) as measure:
        found = measure()
    rows = {row.layer: row for row in found.layers}
    assert found.layers[0].layer == "right_head"
    assert set(rows) == {"trunk", "left_head", "right_head"}
    assert (rows["right_head"].serves, rows["trunk"].serves) == (("right",), ("left",))
    assert found.everything.noise_db["right"] < 10 < 25 < found.everything.noise_db["left"]
    assert rows["right_head"].alone.noise_db["right"] < 10
    assert rows["right_head"].relief_db(found.everything)["right"] > 60
    assert abs(rows["trunk"].relief_db(found.everything)["right"]) < 1
    assert found.fp32 is None


def test_what_was_measured_is_not_measured_again(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is stopped in the middle goes on, and ends with the same figures; damaged files are ignored."""
    with _matrix(model, samples) as measure:
        expected = measure()
    honest, calls = module.output_noise, []

    def counted(*args: object) -> dict[str, float]:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(1)
        return honest(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "output_noise", counted)
    with _matrix(model, samples, folder=tmp_path / "kept") as measure:
        with pytest.raises(KeyboardInterrupt):
            measure()
        monkeypatch.setattr(module, "output_noise", lambda *args: calls.append(1) or honest(*args))
        assert measure() == expected
        assert len(calls) == 7  # all, and two for each layer
        assert measure() == expected
        assert len(calls) == 7
        (kept,) = (tmp_path / "kept").iterdir()
        kept.write_bytes(kept.read_bytes()[:-5])
        assert measure() == expected
        assert len(calls) == 14


@pytest.fixture
def artifact(tmp_path: Path, tiny_manifest: Manifest) -> Path:
    """With a manifest that says that both outputs are numbers."""
    raw = Pixels(raw_dtype="float32", scale=1.0, mean=(0.0,) * 8, std=(1.0,) * 8)
    source = msgspec.structs.replace(tiny_manifest.inputs[0], name="x", shape=("n", 8), preprocessing=raw)
    tasks = tuple(Regression(name=name, target=name) for name in ("left", "right"))
    manifest = msgspec.structs.replace(tiny_manifest, tasks=tasks, inputs=(source,), metrics=None)
    return write_artifact(tmp_path / "artifact", _model().SerializeToString(), manifest).path


@pytest.mark.parametrize("exact", [1, None])
def test_metrics_say_what_a_layer_costs(artifact: Path, samples: Path, exact: int | None) -> None:
    """Of the worst layer, or of all: the error of the broken task is that of fp32 without its guilty layer."""
    test = Samples(ARRAYS)
    with _matrix(artifact, samples, test=test, exact=exact) as measure:
        found = measure()
    assert found.fp32 is not None
    assert found.everything.metrics is not None
    guilty = found.layers[0]
    assert guilty.others.metrics is not None
    assert found.fp32["right"]["mae"] < 1e-4
    assert found.everything.metrics["right"]["mae"] > 0.5
    assert guilty.others.metrics["right"]["mae"] < 1e-4
    assert [row.alone.metrics is not None for row in found.layers] == [True, exact is None, exact is None]


def test_metrics_need_a_manifest(model: Path, samples: Path) -> None:
    """Nobody knows what the outputs of another tool's model mean."""
    with (
        _matrix(model, samples, test=Samples(ARRAYS)) as measure,
        pytest.raises(ModelError, match="must have a manifest"),
    ):
        measure()


def test_the_command_shows_draws_and_writes_it(model: Path, samples: Path, tmp_path: Path) -> None:
    """A table, a heat map, and everything as JSON."""
    picture, file = tmp_path / "damage.svg", tmp_path / "damage.json"
    options = ["--calib", str(samples), "--no-cache", "--picture", str(picture), "--json", str(file)]
    done = CliRunner().invoke(main, ["damage", str(model), *options])
    assert done.exit_code == 0, done.output
    assert "right_head (MatMul)" in done.output
    assert "right_head" in picture.read_text()
    assert json.loads(file.read_text())["layers"][0]["layer"] == "right_head"
