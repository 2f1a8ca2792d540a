"""The whole of quantization on a model that is calibrated: weights, placement, biases, budgets, and a look at it."""

import dataclasses
from pathlib import Path

import msgspec

from mtl_edge.bench.machine import TargetName
from mtl_edge.progress import spinner
from mtl_edge.quantize.audit import Audit, audit
from mtl_edge.quantize.budgets import Goal, Judge, WithinBudgets, keep_budgets
from mtl_edge.quantize.data import CalibrationData
from mtl_edge.quantize.emulate import open_as_on
from mtl_edge.quantize.finetune.course import Course, Finetuned
from mtl_edge.quantize.finetune.ladder import finetuned
from mtl_edge.quantize.guard import Guarded, guard
from mtl_edge.quantize.narrow import Narrowed
from mtl_edge.quantize.noise import WithoutVnni, output_noise, without_vnni
from mtl_edge.quantize.race import latency_ratio
from mtl_edge.quantize.ranges import Method, find_ranges
from mtl_edge.quantize.refinements import Refinements
from mtl_edge.quantize.source import CalibratedSource
from mtl_edge.quantize.static import Placed, PlacementName, find_narrowing, insert_form, refine
from mtl_edge.quantize.target import find_target, this_target


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    ``noise_db`` is, for each output, the power of the fp32 answers' spread over that of the difference, in decibels,
    on a few of the calibration samples: 20 dB are a tenth of the spread. ``latency_ratio`` is that to the fp32 model
    on this box, with one thread, where the placement was measured; ``trials`` is how many placements were. ``merged``
    are the layers side by side that became one because that is faster, with ``+`` between. ``narrowed`` are the layers
    whose weights do not use all of their 8 bits; ``without_vnni`` is what a model for ``x86-vnni`` would give on a
    processor that lacks it; ``finetuned`` is what training gave, where there was some; ``guarded`` is what became of
    outputs that int8 would break, None where nobody looked; ``remarks`` are what the calibration samples do not show.
    """

    target: TargetName
    method: Method
    refinements: Refinements
    latency_ratio: float | None
    trials: int
    merged: tuple[str, ...] = ()
    noise_db: dict[str, float]
    remarks: tuple[str, ...]
    audit: Audit
    narrowed: tuple[Narrowed, ...] = ()
    without_vnni: WithoutVnni | None = None
    finetuned: Finetuned | None = None
    guarded: Guarded | None = None
    budgets: WithinBudgets | None = None


def quantize_calibrated(
    known: CalibratedSource,
    *,
    method: Method,
    target: TargetName | None,
    placement: PlacementName | None,
    refinements: Refinements,
    cache: Path | None,
    goal: Goal | None = None,
    course: Course | None = None,
    guarding: bool = True,
    unseen: CalibrationData | None = None,
) -> tuple[bytes, Outcome]:
    """Quantize, fine-tune, put guilty layers back into float, and look at what came of it.

    Layers are guilty where tasks miss their budgets, or where an output of a task without one is broken.

    Args:
        known: the fp32 model and what calibration saw of it; equalized, if that is wanted.
        method: how ranges are taken from what was seen.
        target: the kind of processor that will run it; None means this box.
        placement: ``all`` or ``measured``; None means measured where this box is of the target's kind.
        refinements: what else is done so that 8 bits cost less.
        cache: folder where measured placements are kept for the next time; None keeps nothing.
        goal: what tasks must not lose.
        course: when and from what to train the int8 model; None is never.
        guarding: whether to look for outputs that are broken, see :mod:`mtl_edge.quantize.guard`; with the placement
            ``all`` it is only said which are.
        unseen: samples of the model's inputs that calibration did not see, for that; None takes those that were not
            drawn.

    Raises:
        ModelError: the int8 form computes nothing finite.
        DataError: samples do not fit.
        MissingExtraError: it is to be trained, and torch is not installed.
    """
    profile = find_target(target or this_target())
    plain, batch = known.prepared, next(iter(known.data))
    asked_for_all = placement == "all"
    if placement is None:
        placement = "measured" if profile.name == this_target() else "all"
    with spinner("quantize, and measure what is faster so"):
        ranges = find_ranges(known.observed, method)
        placements = cache and cache / "placements"
        refined = refine(plain, known.data, batch, ranges, profile, placement, refinements, placements)
    told = None
    if course is not None:
        judge = Judge(known, profile, goal) if goal is not None and course.when != "never" else None
        refined, told = finetuned(refined, profile, course, judge)
    form, placed = refined.form, refined.placed
    guarded = within = None

    def with_float(nodes: frozenset[str]) -> Placed:
        model = insert_form(form, profile, nodes)
        ratio = None if placed.latency_ratio is None else latency_ratio(plain, model, batch)
        return Placed(model, nodes, ratio, placed.trials)

    if guarding:
        spared, revert = goal.budgets if goal is not None else (), not asked_for_all
        guarded = guard(known.session, known.data, form, profile, placed, unseen=unseen, spared=spared, revert=revert)
    if guarded is not None and guarded.reverted:
        placed = with_float(placed.kept.union(guarded.reverted))
    if goal is not None:
        known = dataclasses.replace(known, prepared=form.model, pinned=form.pinned)
        within = keep_budgets(known, form.ranges, profile, placed.kept, goal)
        if within.reverted:
            placed = with_float(within.kept)
    with spinner("look at what came of it"):
        int8, shown = placed.model, known.data.shown
        outcome = Outcome(
            target=profile.name,
            method=method,
            refinements=refinements,
            latency_ratio=placed.latency_ratio,
            trials=placed.trials,
            merged=form.merged,
            noise_db=output_noise(known.session, open_as_on(int8, profile.name), *shown),
            remarks=known.data.remarks,
            audit=audit(int8),
            narrowed=find_narrowing(form.original, profile, placed.kept).layers,
            without_vnni=without_vnni(known.session, int8, *shown) if profile.name == "x86-vnni" else None,
            finetuned=told,
            guarded=guarded,
            budgets=within,
        )
    return int8, outcome
