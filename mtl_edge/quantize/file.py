"""From one ``.onnx`` file to another: the whole of quantization, on any model."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from mtl_edge.artifact import NO_MEANING, child_of, seal
from mtl_edge.bench.machine import TargetName
from mtl_edge.data.check import check_labels
from mtl_edge.data.splits import Samples
from mtl_edge.errors import DataError, ModelError
from mtl_edge.quantize.budgets import Goal
from mtl_edge.quantize.data import CalibrationData, calibration_data
from mtl_edge.quantize.finetune.course import STEPS, Course, FinetuneName, every_sample
from mtl_edge.quantize.guard import SAMPLES
from mtl_edge.quantize.outcome import Outcome, quantize_calibrated
from mtl_edge.quantize.ranges import Method
from mtl_edge.quantize.refinements import Refinements
from mtl_edge.quantize.source import CalibratedSource, arrays_of, calibrated_source
from mtl_edge.quantize.static import PlacementName
from mtl_edge.storage import write_atomically
from mtl_edge.tasks import budgets_of, read_task_budget

_REFINEMENTS = Refinements()


class Quantized(Outcome, frozen=True, kw_only=True):
    """What came of it, and where it is; ``calibrated`` is false where statistics of before were used again."""

    path: str
    samples: int
    calibrated: bool
    source_bytes: int
    file_bytes: int


def quantize_file(
    source: Path,
    calibration: Path,
    output: Path,
    *,
    method: Method = "mse",
    target: TargetName | None = None,
    placement: PlacementName | None = None,
    samples: int = 512,
    batch_size: int = 32,
    seed: int = 0,
    cache: Path | None = None,
    max_drop: Sequence[str] = (),
    labelled: Path | None = None,
    refinements: Refinements = _REFINEMENTS,
    finetune: FinetuneName = "never",
    finetune_steps: int = STEPS,
    guarding: bool = True,
) -> Quantized:
    """Write a static int8 model; of a model that mtl-edge made, with a manifest that names its parent.

    Args:
        source: an fp32 ``.onnx``.
        calibration: an ``.npz``, or a folder of ``.npy`` files, with an array for each input; where targets of the
            model's tasks are there too, samples are drawn so that every class is among them.
        output: the file to write.
        method: how ranges are taken from what was seen.
        target: the kind of processor that will run it; None means this box.
        placement: what goes to int8: ``all`` that has a kernel; or as ``measured`` on this box, what makes the model
            faster, which is also what None means where this box is of the target's kind.
        samples: how many samples to calibrate with.
        batch_size: most samples of one batch, where the graph leaves it open; fewer where activations are many.
        seed: of the draw.
        cache: folder where what calibration saw and what was measured are kept for the next time; None keeps nothing.
        max_drop: budgets such as ``left=0.5pt`` or ``count=2%``: how much worse than fp32 a task's first metric may
            become. Layers go back to float until all hold; if they cannot, what comes nearest is written.
        labelled: samples with labels to judge budgets by, as for ``calibration``; without labels, samples to look for
            broken outputs with.
        refinements: what else is done so that 8 bits cost less.
        finetune: whether the int8 model is trained, on all samples of ``calibration``, with the fp32 model as its
            teacher, and with labels where they are there: ``if-needed`` is where a budget is missed otherwise.
        finetune_steps: how long, at most.
        guarding: whether layers go back to float where an output would be broken, see
            :mod:`mtl_edge.quantize.guard`; with the placement ``all`` it is only said.

    Raises:
        ModelError: the model cannot be read or is quantized already, or its int8 form computes nothing finite.
        DataError: the calibration data does not fit.
        MissingExtraError: it is to be trained, and torch is not installed.
        WorkdirError: the output cannot be written.
    """
    with (
        calibrated_source(
            source,
            calibration,
            samples=samples,
            batch_size=batch_size,
            seed=seed,
            folder=cache and cache / "calibration",
            equalized=refinements.equalize,
        ) as known,
        contextlib.nullcontext() if labelled is None else arrays_of(labelled) as further,
    ):
        content, outcome = quantize_calibrated(
            known,
            method=method,
            target=target,
            placement=placement,
            refinements=refinements,
            cache=cache,
            goal=_goal(known, max_drop, further),
            course=_course(known, finetune, finetune_steps, seed),
            guarding=guarding,
            unseen=_unseen(known, further, labelled) if guarding and further is not None else None,
        )
    if known.manifest is not None:
        content, _ = seal(content, child_of(known.manifest, "int8", "static int8", outcome.target))
    write_atomically(output, content)
    return Quantized(
        **msgspec.structs.asdict(outcome),
        path=str(output),
        samples=len(known.data.positions),
        calibrated=known.fresh,
        source_bytes=source.stat().st_size,
        file_bytes=len(content),
    )


def _course(known: CalibratedSource, when: FinetuneName, steps: int, seed: int) -> Course:
    """What can be learned from the samples to calibrate with."""
    tasks = known.manifest.tasks if known.manifest is not None else ()
    if when != "never":
        for task in tasks:
            if task.name in known.targets:
                shape = next(iter(known.data.arrays.values())).shape
                check_labels(task, known.targets[task.name], shape, f"finetune: {task.target!r}")
    return Course(
        when=when,
        data=every_sample(known.data, known.session.get_inputs()),
        teacher=known.session,
        tasks=tasks,
        targets=known.targets,
        steps=steps,
        seed=seed,
    )


def _goal(known: CalibratedSource, max_drop: Sequence[str], labelled: Samples | None) -> Goal | None:
    """The budgets that were given, or else those of the model's manifest where there is something to judge by."""
    tasks = {task.name: task for task in known.manifest.tasks} if known.manifest is not None else {}
    if max_drop and not tasks:
        raise ModelError(f"--max-drop: the model {NO_MEANING}")
    if max_drop and labelled is None:
        raise DataError("--max-drop: must have labelled samples to judge by (--data), found none")
    budgets = budgets_of(tasks.values()) | dict(read_task_budget(text, tasks) for text in max_drop)
    return None if labelled is None or not budgets else Goal(budgets, labelled.arrays)


def _unseen(known: CalibratedSource, found: Samples, place: Path | None) -> CalibrationData:
    """The inputs of some samples, whose labels do not matter here."""
    manifest = None if known.manifest is None else msgspec.structs.replace(known.manifest, tasks=())
    return calibration_data(
        known.session.get_inputs(),
        found.arrays,
        manifest,
        samples=SAMPLES,
        batch_size=known.data.batch_size,
        place=str(place),
    )
