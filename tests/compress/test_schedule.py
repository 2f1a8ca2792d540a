"""Tests of :mod:`mtl_edge.compress.schedule`, and of what is said of it."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mtl_edge.compress.outcome import (
    DroppedBlock,
    Missed,
    Pruned,
    PrunedGroup,
    PrunedStep,
    Schedule,
    dropped_line,
    pruned_lines,
    schedule_warnings,
)
from mtl_edge.compress.schedule import missed_budgets, steps_of, whole_course
from mtl_edge.compress.target import Target
from mtl_edge.errors import RecipeError
from mtl_edge.recipe import PruneSpec, load_recipe
from mtl_edge.tasks import Budget, Multiclass, Regression

LOST = Missed("left", Budget(0.5, "pt"), 0.812)


def _schedule(*missed: bool, kept: int, planned: int = 3) -> Schedule:
    """Steps of which some have lost too much."""
    step = PrunedStep(parameters=10, epochs=2, metrics={})
    steps = tuple(msgspec.structs.replace(step, missed=(LOST,) if over else ()) for over in missed)
    return Schedule(planned=planned, parameters=20, metrics={}, steps=steps, kept=kept)


def test_epochs_are_shared_out_evenly() -> None:
    """What cannot be goes to the last step, after which nothing heals any more; each step is asked for alone."""
    spec = PruneSpec(steps=3, epochs=8, stop="budget", ratio=0.4)
    steps = steps_of(spec)
    assert [step.epochs for step in steps] == [2, 2, 4]
    assert [step.share for step in steps] == [1 / 3, 2 / 3, 1]
    assert steps[0].of(spec) == PruneSpec(ratio=0.4, epochs=2)
    (only,) = steps_of(PruneSpec(epochs=5))
    assert only.of(PruneSpec(epochs=5)) == PruneSpec(epochs=5)


def test_a_step_without_an_epoch_is_refused(tiny_recipe_text: str, write_recipe: Callable[[str], Path]) -> None:
    """File, key, rule, and what was found."""
    path = write_recipe(f"{tiny_recipe_text}\n[compress]\nprune = {{ steps = 4, epochs = 3 }}\n")
    with pytest.raises(RecipeError, match=r"tiny.toml: compress.prune.steps: must be at most epochs, 3, .* found 4"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("target", "whole", "parts"),
    [
        (Target(0.5, "size"), 1.0, [0.794, 0.63, 0.5]),
        (Target(1.2, "latency", absolute=True), 4.0, [2.68, 1.79, 1.2]),
        (Target(0.12345, "parameters"), 1.0, [0.498, 0.248, 0.12345]),
    ],
)
def test_each_step_makes_it_smaller_by_the_same_factor(target: Target, whole: float, parts: list[float]) -> None:
    """Of what the network was before any step; the last part is the target itself."""
    found = [target.part(number / 3, whole) for number in (1, 2, 3)]
    assert [part.amount for part in found] == parts
    assert {(part.of, part.absolute) for part in found} == {(target.of, target.absolute)}


def test_tasks_are_over_budget_by_their_first_metric() -> None:
    """Errors by more, shares by less; tasks without a budget never."""
    tasks = (
        Multiclass(name="left", target="left", classes=3, max_drop="0.5pt"),
        Regression(name="sum", target="sum", max_drop="10%"),
        Regression(name="free", target="free"),
    )
    dense = {"left": {"accuracy": 0.9}, "sum": {"mae": 2.0}, "free": {"mae": 1.0}}
    within = {"left": {"accuracy": 0.896}, "sum": {"mae": 2.19}, "free": {"mae": 9.0}}
    assert missed_budgets(tasks, dense, within) == ()
    (left, right) = missed_budgets(tasks, dense, {**within, "left": {"accuracy": 0.89}, "sum": {"mae": 2.3}})
    assert str(left) == "left lost 1.00 of its 0.5 pt"
    assert (right.task, right.loss) == ("sum", pytest.approx(15))


def test_steps_are_told_as_one() -> None:
    """From all channels to those that the last step left, of which it is known whom they served before any left."""
    parts = [
        Pruned(
            importance="taylor",
            groups=(PrunedGroup(name="a", channels=32, kept=16, serves={"left": 3, "right": 0}),),
            dropped=(DroppedBlock(name="x", losses={"left": 0.1}),),
            blocks=3,
        ),
        Pruned(
            importance="taylor",
            groups=(
                PrunedGroup(name="a", channels=16, kept=8, serves={"left": 9, "right": 0}),
                PrunedGroup(name="b", channels=8, kept=8),
            ),
            blocks=2,
        ),
    ]
    found = whole_course([*parts, parts[0]], _schedule(False, False, True, kept=2))
    assert found.groups == (
        PrunedGroup(name="a", channels=32, kept=8, serves={"left": 3, "right": 0}),
        PrunedGroup(name="b", channels=8, kept=8),
    )
    assert dropped_line(found) == "1 of 3 residual blocks dropped (x)"


def test_what_ended_it_is_said_with_the_numbers() -> None:
    """An early end is a fact; a first step that is over budget is a warning; neither is said where all went well."""
    pruned = Pruned(importance="taylor", groups=())
    early = {"pruned": msgspec.structs.replace(pruned, schedule=_schedule(False, True, kept=1))}
    assert pruned_lines(early) == [
        "pruned: ended after step 1 of 3, the last one within all budgets: in step 2, left lost 0.81 of its 0.5 pt"
    ]
    assert schedule_warnings(early) == []
    missed = {"pruned": msgspec.structs.replace(pruned, schedule=_schedule(True, kept=1))}
    assert pruned_lines(missed) == []
    assert schedule_warnings(missed) == [
        "pruned: step 1 of 3 misses a budget already, and is kept as the nearest miss: left lost 0.81 of its 0.5 pt"
    ]
    for steps in ((False, False, False), (True, False, True)):  # the latter never stops
        all_taken = {"pruned": msgspec.structs.replace(pruned, schedule=_schedule(*steps, kept=3))}
        assert (pruned_lines(all_taken), schedule_warnings(all_taken)) == ([], [])
