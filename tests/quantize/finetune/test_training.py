"""Tests of :mod:`mtl_edge.quantize.finetune.training` and :mod:`mtl_edge.quantize.finetune.ladder`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper

from mtl_edge.cli import main
from mtl_edge.errors import DataError
from mtl_edge.quantize.file import Quantized
from mtl_edge.quantize.finetune import training
from mtl_edge.quantize.finetune.ladder import finetuned
from mtl_edge.quantize.finetune.training import finetune
from mtl_edge.quantize.int8_layers import constants_of
from mtl_edge.quantize.noise import output_noise
from mtl_edge.quantize.static import Placed, Refined, insert_form
from mtl_edge.runtime import open_session
from mtl_edge.tasks import Multiclass, Regression


def test_training_brings_the_outputs_nearer_to_the_teachers(case: Any) -> None:
    """On samples that neither calibration nor training have seen, without any label; here weights have 5 bits."""
    ends = np.abs(constants_of(onnx.load_from_string(case.form.model).graph)["w1"]).max((1, 2, 3))
    start, course = replace(case.form, pinned={"w1": (0, 8 * ends)}), case.course(60)
    form, told = finetune(start, frozenset(), case.target, course)
    assert told.kept
    assert told.steps == 60
    assert told.samples == 224
    assert max(told.distance.values()) < 1
    fresh = {"x": np.random.default_rng(7).standard_normal((256, 3, 6, 6)).astype(np.float32)}
    before, after = (
        output_noise(course.teacher, open_session(insert_form(each, case.target)), fresh) for each in (start, form)
    )
    assert min(after[name] - before[name] for name in before) > 1


def test_the_same_seed_gives_the_same_file(case: Any) -> None:
    """And another seed another."""
    files = [
        insert_form(finetune(case.form, frozenset(), case.target, case.course(seed=seed))[0], case.target)
        for seed in (3, 3, 4)
    ]
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_labels_are_learned_where_there_are_some(case: Any) -> None:
    """With the teacher's part set to nothing, what the labels say is all that counts."""
    x = case.data.arrays["x"]
    course = case.course(
        40,
        tasks=(Multiclass(name="kind", target="kind", classes=4), Regression(name="size", target="size")),
        targets={"kind": np.arange(len(x)) % 4, "size": x[:, 0].mean((1, 2)) * 5 + 2},
        weight=0.0,
    )
    form, told = finetune(case.form, frozenset(), case.target, replace(course, temperature=1.0))
    shifted = open_session(insert_form(form, case.target)).run(["size"], {"x": x})[0].mean()
    plain = open_session(insert_form(case.form, case.target)).run(["size"], {"x": x})[0].mean()
    assert told.steps == 40
    assert not told.kept or abs(shifted - 2) < abs(plain - 2)


def test_any_teacher_is_learned_from(case: Any) -> None:
    """What answers like a session will do: of one that knows better than the fp32 model, the int8 model learns it."""

    class Corrected:
        def __init__(self, fp32: Any) -> None:
            self.get_outputs, self._fp32 = fp32.get_outputs, fp32

        def run(self, names: Sequence[str], feeds: Any) -> list[np.ndarray]:
            answers = self._fp32.run(names, feeds)
            return [answer + (name == "size") for name, answer in zip(names, answers, strict=True)]

    course = case.course(20)
    form, told = finetune(case.form, frozenset(), case.target, replace(course, teacher=Corrected(course.teacher)))
    assert told.kept
    assert told.distance["size"] < 1
    after, before = (
        open_session(insert_form(each, case.target)).run(["size"], case.data.arrays)[0].mean()
        for each in (form, case.form)
    )
    assert after > before


def test_what_is_not_better_is_not_kept(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With learning rates that wreck everything, the model is the one of before, and it is said."""
    monkeypatch.setattr(training, "_RATES", dict.fromkeys(training._RATES, 10.0))
    refined = Refined(case.form, Placed(insert_form(case.form, case.target)))
    after, told = finetuned(refined, case.target, case.course(), None)
    assert after is refined
    assert told is not None
    assert not told.kept
    assert told.remark == "no better than before on samples that were not learned from"


def test_training_stops_where_it_is_good_enough(case: Any) -> None:
    """At the first model that is asked for and holds."""
    seen: list[bytes] = []

    def holds(model: bytes) -> bool:
        seen.append(model)
        return len(seen) == 2

    form, told = finetune(case.form, frozenset(), case.target, case.course(40), holds)
    assert told.steps < 40
    assert insert_form(form, case.target) == seen[-1]


def test_two_batches_are_needed(case: Any) -> None:
    """One to learn from, one to watch by."""
    course = case.course()
    few = replace(course, data=replace(course.data, positions=np.arange(40)))
    with pytest.raises(DataError, match="must have 64 samples to learn from and to watch by, found 40"):
        finetune(case.form, frozenset(), case.target, few)


def test_a_graph_that_cannot_be_trained_is_quantized_all_the_same(case: Any) -> None:
    """One line says why."""
    proto = onnx.load_from_string(case.form.model)
    proto.graph.node.append(helper.make_node("Det", ["e"], ["unread"], name="odd"))
    form = replace(case.form, model=proto.SerializeToString())
    refined = Refined(form, Placed(insert_form(form, case.target)))
    after, told = finetuned(refined, case.target, case.course(), None)
    assert after is refined
    assert told is not None
    assert told.remark == "finetune: node 'odd' has what cannot be trained yet: the operator Det"


def test_without_budgets_there_is_no_need(case: Any) -> None:
    """Nothing is trained, and nothing is told."""
    refined = Refined(case.form, Placed(b""))
    for when in ("never", "if-needed"):
        assert finetuned(refined, case.target, case.course(when=when), None) == (refined, None)


def test_training_comes_before_float(unequal_artifact: Path, unequal_samples: Path, tmp_path: Path) -> None:
    """Where a budget is missed the model is trained, and what is missed all the same goes back to float; it is said."""
    output = tmp_path / "int8.onnx"
    data = ["--calib", str(unequal_samples), "--data", str(unequal_samples), "--placement", "all", "--no-cache"]
    options = [*data, "-o", str(output), "--finetune", "if-needed", "--finetune-steps", "8", "--max-drop", "right=1%"]
    done = CliRunner().invoke(
        main, ["quantize", str(unequal_artifact), *options, "--json", str(tmp_path / "found.json")]
    )
    assert done.exit_code == 0, done.output
    found = msgspec.json.decode((tmp_path / "found.json").read_bytes(), type=Quantized)
    assert found.finetuned is not None
    assert "fine-tuned" in done.output
    assert found.budgets is not None
    assert all(spent.holds for spent in found.budgets.spent)
    assert output.stat().st_size == found.file_bytes
