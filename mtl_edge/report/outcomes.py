"""What came of a run's models, and of int8 ones most of all, as tables and sentences."""

from collections.abc import Mapping, Sequence

from mtl_edge.compress.outcome import pruned_lines, schedule_warnings, sparsified_lines, withheld_lines
from mtl_edge.quantize.audit import NO_KERNEL, Audit, Precision
from mtl_edge.quantize.budgets import WithinBudgets
from mtl_edge.quantize.finetune.course import Finetuned
from mtl_edge.quantize.guard import Guarded
from mtl_edge.quantize.noise import WithoutVnni
from mtl_edge.quantize.outcome import Outcome
from mtl_edge.report.document import RunReport
from mtl_edge.report.profile_tables import not_profiled
from mtl_edge.report.table import Cell, Table
from mtl_edge.report.teachers import teacher_warnings
from mtl_edge.tasks import Noise

_FELT_DB = 1.0
"""A quarter more noise than here; less is within what another calibration would give."""

_NAMED = 3
"""How many of the nodes that went back to float are named; all are in the JSON."""


def outcome_tables(quantized: Mapping[str, Outcome]) -> list[Table]:
    """What runs in int8; and where tasks have budgets, what became of them. No table without int8 models."""
    if not quantized:
        return []
    within = {name: outcome.budgets for name, outcome in quantized.items() if outcome.budgets is not None}
    audits = {name: outcome.audit for name, outcome in quantized.items()}
    tuned = {name: outcome.finetuned for name, outcome in quantized.items() if outcome.finetuned is not None}
    return [*([_budgets(within, tuned)] if within else []), _audits(audits)]


def run_notes(report: RunReport) -> list[str]:
    """What was done to a run's networks; one sentence each."""
    return [*pruned_lines(report.pruned), *sparsified_lines(report.sparse)]


def run_warnings(report: RunReport) -> list[str]:
    """All that one should know of a run before its models are used; one sentence each."""
    return [
        *withheld_lines(report.withheld),
        *schedule_warnings(report.pruned),
        *noise_warnings(report.noise),
        *teacher_warnings(report.validation, report.benchmark.base_result.tasks),
        *outcome_warnings(report.quantized),
        *not_profiled(report.profiles),
    ]


def noise_warnings(noises: Sequence[Noise]) -> list[str]:
    """One sentence for each task whose budget is less than the noise, on the samples where that is most."""
    worst: dict[str, Noise] = {}
    for noise in noises:
        if noise.drowns and (noise.task not in worst or _more(noise, worst[noise.task])):
            worst[noise.task] = noise
    return list(map(str, worst.values()))


def _more(one: Noise, other: Noise) -> bool:
    return other.error is not None and (one.error is None or one.error > other.error)


def outcome_warnings(quantized: Mapping[str, Outcome]) -> list[str]:
    """Budgets that are missed, or that cannot be judged; what else is not as it looks; one sentence each."""
    found: list[str] = []
    for name, outcome in quantized.items():
        lines = list(outcome.remarks)
        if outcome.budgets is not None:
            lines += [
                f"{spent.task} lost {spent.loss:.2f} of its {spent.budget}"
                for spent in outcome.budgets.spent
                if not spent.holds
            ]
            lines += outcome.budgets.remarks
        if outcome.guarded is not None and outcome.guarded.broken:
            lines.append(guard_line(outcome.guarded))
        if outcome.finetuned is not None and outcome.finetuned.remark:
            lines.append(f"not {finetuned_line(outcome.finetuned)}")
        if outcome.without_vnni is not None and (line := without_vnni_line(outcome.without_vnni, outcome.noise_db)):
            lines.append(line)
        found += [f"{name}: {line}" for line in lines]
    return found


def finetuned_line(found: Finetuned) -> str:
    """``in 400 steps on 448 samples; distances to the teacher: left 0.52x, sum 0.71x``, or why not."""
    if found.remark:
        return f"fine-tuned: {found.remark}"
    noise = ", ".join(f"{name} {ratio:.2f}x" for name, ratio in found.distance.items())
    return f"in {found.steps} steps on {found.samples} samples; distances to the teacher: {noise}"


def guard_line(found: Guarded) -> str:
    """What int8 would break or breaks, on which samples, and what was done; or how far every output is from that.

    Such as ``int8 would break flow (2 dB) on 64 samples that calibration did not see, 59 of them beyond its range:
    back in float are fc1, fc2, now 48 dB``.
    """
    what = f"{found.samples} samples that calibration {'saw' if found.seen else 'did not see'}"
    if not found.broken:
        return f"no output below {min(found.noise_db.values()):.0f} dB on {what}"
    lost = found.shipped_broken
    named = ", ".join(f"{name} ({level:.0f} dB)" for name, level in found.broken.items())
    beyond = f", {found.beyond} of them beyond its range" if found.beyond and not found.seen else ""
    line = f"int8 {'breaks' if lost else 'would break'} {named} on {what}{beyond}"
    if found.reverted:
        now = min(found.noise_db[name] for name in found.broken)
        more = len(found.reverted) - _NAMED
        named = ", ".join([*found.reverted[:_NAMED], *([f"{more} more"] if more > 0 else [])])
        line += f": back in float are {named}, now {now:.0f} dB"
    elif lost:
        line += "; placement measured puts guilty layers back into float"
    return line


def without_vnni_line(found: WithoutVnni, here: Mapping[str, float]) -> str:
    """What saturates on a processor without VNNI, and what that does to the outputs; empty if none of them feels it."""
    cut = [risk for risk in found.layers if risk.share > 0]
    if not cut or all(here[name] - level < _FELT_DB for name, level in found.noise_db.items()):
        return ""
    worst = max(cut, key=lambda risk: risk.share)
    noise = ", ".join(f"{name} {here[name]:.0f} -> {level:.0f} dB" for name, level in found.noise_db.items())
    layers = f"{len(cut)} layer{'s' if len(cut) > 1 else ''} saturate{'' if len(cut) > 1 else 's'}"
    most = f"{worst.layer} most, {worst.share:.2%} of its sums"
    return f"on x86 without VNNI, {layers} ({most}): {noise}; target x86-avx2 avoids it"


def _notes(within: WithinBudgets, tuned: Finetuned | None) -> list[str]:
    """What was done for the budgets' sake."""
    notes = [f"fine-tuned {finetuned_line(tuned)}"] if tuned is not None and tuned.kept else []
    return notes + ([f"in float again: {', '.join(within.reverted)}"] if within.reverted else [])


def _budgets(within: Mapping[str, WithinBudgets], tuned: Mapping[str, Finetuned]) -> Table:
    """Each model's losses against the dense network on the validation samples, and what was done for their sake."""
    first = next(iter(within.values()))
    rows = tuple(
        (
            Cell(name, note="\n".join(_notes(found, tuned.get(name)))),
            *(
                Cell(
                    f"{spent.loss:+.2f} of {spent.budget}",
                    note="" if spent.holds else "MISSED",
                    warning=not spent.holds,
                )
                for spent in found.spent
            ),
        )
        for name, found in within.items()
    )
    return Table("What budgets allow", ("model", *(spent.task for spent in first.spent)), rows)


def _audits(audits: Mapping[str, Audit]) -> Table:
    """Each model's operators by what they run in; a warning where some were meant for int8 and have no kernel."""
    rows = tuple(
        (
            Cell(name),
            Cell(operators(audit, "int8")),
            Cell(operators(audit, "float"), note="\n".join(islands(audit)), warning=_lacks_kernels(audit)),
            Cell(operators(audit, "boundary")),
        )
        for name, audit in audits.items()
    )
    return Table("What runs in int8", ("model", "in int8", "in float", "conversions"), rows, prose=True)


def operators(audit: Audit, precision: Precision) -> str:
    """Which of them run this way, and how many: ``9 QLinearConv, 3 QLinearAdd``."""
    counted = audit.count(precision).most_common()
    return ", ".join(f"{count} {kind}" for kind, count in counted) or "none"


def islands(audit: Audit) -> list[str]:
    """What stayed in float beside quantized tensors, and why; a line for each operator."""
    found: dict[tuple[str, str], int] = {}
    for node in audit.islands:
        key = node.op_type, node.reason
        found[key] = found.get(key, 0) + 1
    return [f"{count} {kind}: {reason}" for (kind, reason), count in found.items()]


def _lacks_kernels(audit: Audit) -> bool:
    return any(node.reason == NO_KERNEL for node in audit.islands)
