"""Tests of :mod:`mtl_edge.quantize.damage`, on a network of which one layer breaks one of two tasks."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from mtl_edge.cli import main
from mtl_edge.data.splits import Samples
from mtl_edge.errors import ModelError
from mtl_edge.quantize import judge as module
from mtl_edge.quantize.damage import DamageMatrix, measure_damage
from mtl_edge.quantize.source import calibrated_source

Arrays = dict[str, np.ndarray]


@contextmanager
def _matrix(model: Path, samples: Path, **options: object) -> Iterator[Callable[[], DamageMatrix]]:
    with calibrated_source(model, samples, samples=64, batch_size=32, seed=0, folder=None) as source:
        yield lambda: measure_damage(model, source, target="x86-vnni", method="minmax", **options)  # type: ignore[arg-type]


def test_the_layer_that_breaks_a_task_is_the_first(unequal_model: Path, unequal_samples: Path) -> None:
    """It breaks its own task alone, and without it the task is as good as in fp32."""
    with _matrix(unequal_model, unequal_samples) as measure:
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
    unequal_model: Path, unequal_samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is stopped in the middle goes on, and ends with the same figures; damaged files are ignored."""
    with _matrix(unequal_model, unequal_samples) as measure:
        expected = measure()
    honest, calls = module.output_noise, []

    def counted(*args: object) -> dict[str, float]:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(1)
        return honest(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "output_noise", counted)
    with _matrix(unequal_model, unequal_samples, folder=tmp_path / "kept") as measure:
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


@pytest.mark.parametrize("exact", [1, None])
def test_metrics_say_what_a_layer_costs(
    unequal_artifact: Path, unequal_samples: Path, unequal_arrays: Arrays, exact: int | None
) -> None:
    """Of the worst layer, or of all: the error of the broken task is that of fp32 without its guilty layer."""
    test = Samples(unequal_arrays)
    with _matrix(unequal_artifact, unequal_samples, test=test, exact=exact) as measure:
        found = measure()
    assert found.fp32 is not None
    assert found.everything.metrics is not None
    guilty = found.layers[0]
    assert guilty.others.metrics is not None
    fp32 = found.fp32["right"]["mae"]
    assert found.everything.metrics["right"]["mae"] > 2 * fp32
    assert guilty.others.metrics["right"]["mae"] == pytest.approx(fp32, rel=1e-3)
    assert [row.alone.metrics is not None for row in found.layers] == [True, exact is None, exact is None]


def test_metrics_need_a_manifest(unequal_model: Path, unequal_samples: Path, unequal_arrays: Arrays) -> None:
    """Nobody knows what the outputs of another tool's model mean."""
    with (
        _matrix(unequal_model, unequal_samples, test=Samples(unequal_arrays)) as measure,
        pytest.raises(ModelError, match=r"must carry mtl-edge's manifest, .* mtl-edge manifest --tasks"),
    ):
        measure()


def test_the_command_shows_draws_and_writes_it(unequal_model: Path, unequal_samples: Path, tmp_path: Path) -> None:
    """A table, a heat map, and everything as JSON."""
    picture, file = tmp_path / "damage.svg", tmp_path / "damage.json"
    options = ["--calib", str(unequal_samples), "--no-cache", "--picture", str(picture), "--json", str(file)]
    done = CliRunner().invoke(main, ["damage", str(unequal_model), *options])
    assert done.exit_code == 0, done.output
    assert "right_head (MatMul)" in done.output
    assert "right_head" in picture.read_text()
    assert json.loads(file.read_text())["layers"][0]["layer"] == "right_head"


def test_parts_are_the_layers_that_serve_the_same_outputs(unequal_model: Path, unequal_samples: Path) -> None:
    """A head hurts no output but its own; here nothing is shared."""
    with _matrix(unequal_model, unequal_samples) as measure:
        by_layer = measure()
    with _matrix(unequal_model, unequal_samples, by="part") as measure:
        found = measure()
    rows = {row.layer: row for row in found.layers}
    assert rows.keys() == {"left", "right"}
    assert rows["left"].kind == "2 MatMul"
    assert rows["left"].alone.noise_db["right"] > 100
    assert rows["right"].relief_db(found.everything)["right"] > 10
    assert found.everything == by_layer.everything


def test_layers_are_rounded_as_they_will_be(unequal_model: Path, unequal_samples: Path) -> None:
    """By default errors make up for each other, as in what quantization writes; those in float stay as they were."""
    with _matrix(unequal_model, unequal_samples) as measure:
        compensated = measure()
    with _matrix(unequal_model, unequal_samples, rounding="nearest") as measure:
        nearest = measure()
    rows = [{row.layer: row for row in found.layers} for found in (compensated, nearest)]
    assert rows[0]["trunk"].alone.noise_db["left"] != rows[1]["trunk"].alone.noise_db["left"]
    assert all(found["trunk"].alone.noise_db["right"] > 100 for found in rows)  # it is not of that task
