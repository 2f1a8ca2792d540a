"""Tests of :mod:`mtl_edge.quantize.budgets`, on a network of which one layer breaks one of two tasks."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from mtl_edge.cli import main
from mtl_edge.errors import DataError
from mtl_edge.quantize import budgets
from mtl_edge.quantize.budgets import Goal, keep_budgets
from mtl_edge.quantize.file import Quantized, quantize_file
from mtl_edge.quantize.ranges import find_ranges
from mtl_edge.quantize.source import calibrated_source
from mtl_edge.quantize.target import find_target
from mtl_edge.runtime import evaluate, manifest_of, open_session
from mtl_edge.tasks import Budget, Multiclass, Regression, Task, read_budget

TASKS = (Multiclass(name="kind", target="kind", classes=3), Regression(name="size", target="size"))


@pytest.mark.parametrize(
    ("text", "task", "budget"),
    [
        ("0.5pt", TASKS[0], Budget(0.5, "pt")),
        ("1 %", TASKS[0], Budget(1.0, "%")),
        ("2%", TASKS[1], Budget(2.0, "%")),
    ],
)
def test_budgets_are_points_or_per_cent(text: str, task: Task, budget: Budget) -> None:
    """Points of a share, per cent of anything."""
    assert read_budget(text, task) == budget


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind", "must be as in left=0.5pt or count=2%, found 'kind'"),
        ("left=0.5", "--max-drop left: must be as in 0.5pt or 2%, found '0.5'"),
        ("left=-1%", "must be as in"),
        ("colour=1%", r"must name a task \(left, right\), found 'colour'"),
        ("right=1pt", r"right has an error \(MAE\): must be in %"),
    ],
)
def test_nonsense_is_named(unequal_artifact: Path, unequal_samples: Path, text: str, message: str) -> None:
    """What must be, and what was found."""
    with pytest.raises(DataError, match=message):
        _quantize(unequal_artifact, unequal_samples, text)


def _quantize(artifact: Path, samples: Path, *max_drop: str) -> Quantized:
    target = artifact.with_name("int8.onnx")
    return quantize_file(artifact, samples, target, placement="all", max_drop=max_drop, labelled=samples)


def test_the_guilty_layer_goes_back_to_float(
    unequal_artifact: Path, unequal_samples: Path, unequal_arrays: dict[str, np.ndarray]
) -> None:
    """And only that one; what is said of the losses is so of the file that was written."""
    without = _quantize(unequal_artifact, unequal_samples, "left=50%")
    assert without.budgets is not None
    assert (without.budgets.reverted, without.budgets.remarks) == ((), ())
    found = _quantize(unequal_artifact, unequal_samples, "right=1%", "left=50%")
    assert found.budgets is not None
    assert found.budgets.reverted == ("right_head",)
    assert all(spent.holds for spent in found.budgets.spent)
    session = open_session(Path(found.path))
    manifest = manifest_of(Path(found.path), session)
    assert manifest is not None
    metrics = evaluate(session, manifest.tasks, manifest.inputs[0], unequal_arrays)
    assert [metrics[spent.task]["mae"] for spent in found.budgets.spent] == pytest.approx(
        [spent.int8 for spent in found.budgets.spent]
    )


def test_what_cannot_be_kept_is_missed_by_as_little_as_can_be(
    unequal_artifact: Path,
    unequal_samples: Path,
    unequal_arrays: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file is written, the task is marked, and the exit code says so; here one layer may go back, not two."""
    monkeypatch.setattr(budgets, "_MOST", 1)
    x = unequal_arrays["x"]
    (left,) = open_session(unequal_artifact).run(["left"], {"x": x})
    # Labels that fp32 meets nearly: no int8 kernel comes as close.
    noise = np.random.default_rng(0).normal(0, 0.005 * left.std(), left.shape).astype(np.float32)
    np.savez(tmp_path / "exact.npz", x=x, left=(left + noise)[:, 0], right=unequal_arrays["right"])
    output, file = tmp_path / "int8.onnx", tmp_path / "int8.json"
    options = ["--calib", str(unequal_samples), "--data", str(tmp_path / "exact.npz"), "-o", str(output)]
    options += ["--json", str(file), "--no-cache", "--placement", "all"]
    done = CliRunner().invoke(
        main, ["quantize", str(unequal_artifact), *options, "--max-drop", "left=1%", "--max-drop", "right=1%"]
    )
    assert done.exit_code == 1, done.output
    assert "MISSED" in done.output
    found = msgspec.json.decode(file.read_bytes(), type=Quantized)
    assert found.budgets is not None
    assert [spent.holds for spent in found.budgets.spent] == [False, True]
    assert found.budgets.reverted == ("right_head",)
    assert output.stat().st_size == found.file_bytes


@pytest.mark.parametrize("given", ["--data", "manifest"])
def test_budgets_need_labels_and_a_manifest(
    unequal_artifact: Path, unequal_model: Path, unequal_samples: Path, tmp_path: Path, given: str
) -> None:
    """One line says what is missing, and nothing is written."""
    model = unequal_model if given == "--data" else unequal_artifact
    labels = ["--data", str(unequal_samples)] if given == "--data" else []
    output = tmp_path / "out.onnx"
    options = ["--calib", str(unequal_samples), *labels, "-o", str(output), "--no-cache", "--max-drop", "left=1%"]
    done = CliRunner().invoke(main, ["quantize", str(model), *options])
    assert done.exit_code == 2
    assert "--max-drop: " in done.output
    assert not output.exists()


def test_losses_are_counted_from_the_fp32_file(
    unequal_artifact: Path, unequal_samples: Path, unequal_arrays: dict[str, np.ndarray]
) -> None:
    """Not from the model whose weights are rounded already, from which the int8 one is written."""
    found = _quantize(unequal_artifact, unequal_samples, "right=1%")
    session = open_session(unequal_artifact)
    manifest = manifest_of(unequal_artifact, session)
    assert manifest is not None
    assert found.budgets is not None
    (spent,) = found.budgets.spent
    assert spent.fp32 == evaluate(session, manifest.tasks, manifest.inputs[0], unequal_arrays)["right"]["mae"]


def test_what_turns_out_not_to_be_needed_is_int8_again(
    unequal_artifact: Path, unequal_samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the first choice is made wrong on purpose."""
    chosen = iter(["left_head", "right_head"])
    monkeypatch.setattr(budgets._Search, "healer", lambda self, task, nodes: next(chosen))
    found = _quantize(unequal_artifact, unequal_samples, "right=1%")
    assert found.budgets is not None
    assert found.budgets.reverted == ("right_head",)
    assert "left_head" not in found.budgets.kept


def test_a_task_that_is_lost_before_is_not_chased(unequal_artifact: Path, unequal_samples: Path) -> None:
    """Where the fp32 model misses the budget already, no layer goes back for it."""
    samples = np.load(unequal_samples)
    with calibrated_source(unequal_artifact, unequal_samples, samples=64, batch_size=32, seed=0, folder=None) as known:
        base = {"left": {"mae": 1e-6, "mse": 1.0, "r2": 1.0}}
        goal = Goal({"left": Budget(1.0, "%")}, dict(samples), base)
        ranges = find_ranges(known.observed, "minmax")
        found = keep_budgets(known, ranges, find_target("x86-vnni"), frozenset(), goal)
    assert found.reverted == ()
    assert not found.spent[0].holds
    assert found.remarks == ("left misses its budget before quantization already",)


def test_where_no_layer_heals_a_task_the_search_ends(
    unequal_artifact: Path, unequal_samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was tried last comes nearest, and the task is marked."""
    monkeypatch.setattr(budgets._Search, "_noise", lambda self, nodes, task: 0.0)
    found = _quantize(unequal_artifact, unequal_samples, "right=0%")
    assert found.budgets is not None
    assert not found.budgets.spent[0].holds
    assert found.budgets.reverted == ()
    (remark,) = found.budgets.remarks
    assert remark.startswith(
        "the budget of right, 0 %, is less than the noise of 64 labelled samples: a loss on them has"
    )
