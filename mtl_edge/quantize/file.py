"""From one ``.onnx`` file to another: the whole of quantization, on any model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from mtl_edge.artifact import Manifest, seal
from mtl_edge.errors import DataError, ModelError
from mtl_edge.progress import spinner
from mtl_edge.quantize.audit import Audit, audit
from mtl_edge.quantize.budgets import WithinBudgets, keep_budgets, parse_budget
from mtl_edge.quantize.narrow import Narrowed
from mtl_edge.quantize.noise import WithoutVnni, output_noise, without_vnni
from mtl_edge.quantize.race import latency_ratio
from mtl_edge.quantize.ranges import Method, find_ranges
from mtl_edge.quantize.source import CalibratedSource, arrays_of, calibrated_source
from mtl_edge.quantize.static import Placed, PlacementName, find_narrowing, insert_qdq, place
from mtl_edge.quantize.target import Target, TargetName, find_target, this_target
from mtl_edge.runtime import open_session
from mtl_edge.storage import write_atomically

_SHOWN = 32
"""Samples that signal to noise is computed of, at least: of one answer there is no spread."""


class Quantized(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    ``noise_db`` is, for each output, the power of the fp32 answers' spread over that of the difference, in decibels,
    on a few of the calibration samples: 20 dB are a tenth of the spread. ``calibrated`` is false where the statistics
    of an earlier calibration were used again. ``latency_ratio`` is that to the fp32 model on this box, with one thread,
    where the placement was measured; ``trials`` is how many placements were. ``narrowed`` are the layers whose weights
    do not use all of their 8 bits; ``without_vnni`` is what a model for ``x86-vnni`` would give on a processor that
    lacks it.
    """

    path: str
    target: TargetName
    method: Method
    samples: int
    calibrated: bool
    latency_ratio: float | None
    trials: int
    source_bytes: int
    file_bytes: int
    noise_db: dict[str, float]
    remarks: tuple[str, ...]
    audit: Audit
    narrowed: tuple[Narrowed, ...] = ()
    without_vnni: WithoutVnni | None = None
    budgets: WithinBudgets | None = None


def quantize_file(
    source: Path,
    calibration: Path,
    output: Path,
    *,
    method: Method = "minmax",
    target: TargetName | None = None,
    placement: PlacementName | None = None,
    samples: int = 512,
    batch_size: int = 32,
    seed: int = 0,
    cache: Path | None = None,
    max_drop: Sequence[str] = (),
    labelled: Path | None = None,
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
        batch_size: samples of one batch, where the graph leaves it open.
        seed: of the draw.
        cache: folder where what calibration saw and what was measured are kept for the next time; None keeps nothing.
        max_drop: budgets such as ``left=0.5pt`` or ``count=2%``: how much worse than fp32 a task's first metric may
            become. Layers go back to float until all hold; if they cannot, what comes nearest is written.
        labelled: samples with labels to judge budgets by, as for ``calibration``.

    Raises:
        ModelError: the model cannot be read or is quantized already, or its int8 form computes nothing finite.
        DataError: the calibration data does not fit.
        WorkdirError: the output cannot be written.
    """
    profile = find_target(target or this_target())
    with calibrated_source(
        source, calibration, samples=samples, batch_size=batch_size, seed=seed, folder=cache and cache / "calibration"
    ) as known:
        prepared, batch = known.prepared, next(iter(known.data))
        if placement is None:
            placement = "measured" if profile.name == this_target() else "all"
        with spinner("quantize, and measure what is faster so"):
            ranges = find_ranges(known.observed, method)
            placed = place(prepared, ranges, profile, placement, batch, cache and cache / "placements")
        within = None
        if max_drop:
            within = _within_budgets(known, ranges, profile, placed.kept, max_drop, labelled)
            if within.reverted:
                model = insert_qdq(prepared, ranges, profile, kept=within.kept)
                placed = Placed(model, within.kept, latency_ratio(prepared, model, batch), placed.trials)
        with spinner("look at what came of it"):
            int8 = placed.model
            shown = known.data.first(_SHOWN)
            noise = output_noise(known.session, open_session(int8), *shown)
            elsewhere = without_vnni(known.session, int8, *shown) if profile.name == "x86-vnni" else None
            found = audit(int8)
    content = int8
    if known.manifest is not None:
        content, _ = seal(int8, _child(known.manifest, profile.name))
    write_atomically(output, content)
    return Quantized(
        path=str(output),
        target=profile.name,
        method=method,
        samples=len(known.data.positions),
        calibrated=known.fresh,
        latency_ratio=placed.latency_ratio,
        trials=placed.trials,
        source_bytes=source.stat().st_size,
        file_bytes=len(content),
        noise_db=noise,
        remarks=known.data.remarks,
        audit=found,
        narrowed=find_narrowing(prepared, profile, placed.kept).layers,
        without_vnni=elsewhere,
        budgets=within,
    )


def _within_budgets(
    known: CalibratedSource,
    ranges: Mapping[str, tuple[float, float]],
    target: Target,
    kept: frozenset[str],
    max_drop: Sequence[str],
    labelled: Path | None,
) -> WithinBudgets:
    if known.manifest is None:
        raise ModelError("--max-drop: the model must have a manifest, which says what its outputs mean; found none")
    if labelled is None:
        raise DataError("--max-drop: must have labelled samples to judge by (--data), found none")
    budgets = dict(parse_budget(text, known.manifest.tasks) for text in max_drop)
    with arrays_of(labelled) as samples:
        return keep_budgets(known, known.manifest, ranges, target, kept, budgets, samples)


def _child(parent: Manifest, target: TargetName) -> Manifest:
    return msgspec.structs.replace(
        parent,
        variant=f"{parent.variant}-int8",
        metrics=None,
        target=target,
        lineage=msgspec.structs.replace(
            parent.lineage,
            steps=(*parent.lineage.steps, "static int8"),
            parent=parent.variant,
            parent_sha256=parent.sha256,
        ),
    )
