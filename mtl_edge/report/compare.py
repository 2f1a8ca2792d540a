"""Two sets of results side by side: what became better, what became worse, what cannot be told."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mtl_edge.bench.latency import Latency
from mtl_edge.bench.machine import Machine
from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.errors import ReportError
from mtl_edge.report.points import point_titles
from mtl_edge.tasks import Budget, Task, read_task_budget

Verdict = Literal["better", "same", "WORSE", "not judged"]
"""Not judged: measured on two machines, or by one of the two only."""

_DROP = Budget(1.0, "%")


@dataclass(frozen=True)
class Thresholds:
    """From when on a change counts; all but drops in per cent of what was before.

    Attributes:
        drops: task -> how much worse its first metric may become; 1 % where it is not named.
        latency: how much slower, beyond what the samples leave open.
        memory: how much more memory of the model.
        size: how much larger a file.
        across_machines: judge latency and memory although they were measured on two machines.
    """

    drops: Mapping[str, Budget] = field(default_factory=dict)
    latency: float = 5.0
    memory: float = 10.0
    size: float = 1.0
    across_machines: bool = False


@dataclass(frozen=True)
class Change:
    """One figure of one model, before and after; None where one of the two has not measured it.

    ``change`` is how people write it; ``verdict`` whether it is more than its threshold; ``first`` is false of a task's
    further metrics, which tables leave out.
    """

    model: str
    what: str
    first: bool = field(default=True, kw_only=True)
    before: str
    after: str
    change: str
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """All changes from one set of results to another, model by model.

    ``machines`` says what of the two machines differs, or nothing; ``only_before`` and ``only_after`` are models that
    the other has not.
    """

    before: str
    after: str
    machines: tuple[str, ...]
    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Change, ...]:
        """What became worse."""
        return tuple(change for change in self.changes if change.verdict == "WORSE")


def compare(
    before: Benchmark, after: Benchmark, names: tuple[str, str], thresholds: Thresholds = Thresholds()
) -> Comparison:
    """Compare the models that both have, by their names.

    Raises:
        ReportError: they have none in common.
    """
    shared = [result.name for result in before.results if after.result(result.name) is not None]
    mine, theirs = ([result.name for result in side.results] for side in (before, after))
    failures = tuple(_failures(before, after))
    if not shared and not failures:
        raise ReportError(
            f"compare: models must have a name in common, found {', '.join(mine)} and {', '.join(theirs)}"
        )
    machines = differences(before.machine, after.machine)
    judged = thresholds.across_machines or before.machine.cpu == after.machine.cpu
    changes = tuple(change for name in shared for change in _changes(name, before, after, thresholds, judged=judged))
    failed = [failure.model for failure in failures]
    return Comparison(
        *names,
        machines,
        changes + failures,
        tuple(name for name in mine if name not in shared and name not in failed),
        tuple(name for name in theirs if name not in shared),
    )


def read_drops(texts: Iterable[str], *sides: Benchmark) -> dict[str, Budget]:
    """Task -> budget, from ``left=0.5pt`` for one task, or ``2%`` for all that are not named.

    Raises:
        DataError: a text is of another form, names no task, or asks for points of an error.
    """
    tasks = {task.name: task for side in sides for result in side.results for task in result.tasks}
    named = [text for text in texts if "=" in text]
    general = [f"{name}={text}" for text in texts if "=" not in text for name in tasks]
    return dict(read_task_budget(text, tasks) for text in (*general, *named))


def labels(before: Path, after: Path) -> tuple[str, str]:
    """What two paths of results are called: their last parts that differ."""
    parts = [tuple(part for part in path.parts if part != "report.json") for path in (before, after)]
    for length in range(1, max(map(len, parts)) + 1):
        old, new = ("/".join(side[-length:]) for side in parts)
        if old != new:
            return old, new
    return "before", "after"


def differences(before: Machine, after: Machine) -> tuple[str, ...]:
    """What of two machines differs: ``cpu: A -> B``."""
    found = []
    for name in ("cpu", "cores", "isa", "system"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            found.append(f"{name}: {_text(old)} -> {_text(new)}")
    libraries = dict.fromkeys((*before.versions, *after.versions))
    for library in libraries:
        old, new = before.versions.get(library, "none"), after.versions.get(library, "none")
        if old != new:
            found.append(f"{library}: {old} -> {new}")
    return tuple(found)


def _changes(
    name: str, before: Benchmark, after: Benchmark, thresholds: Thresholds, *, judged: bool
) -> Iterator[Change]:
    old, new = before.result(name), after.result(name)
    assert old is not None
    assert new is not None
    for task in dict.fromkeys((*old.tasks, *new.tasks)):
        yield from _metrics(name, task, old, new, thresholds)
    titles = point_titles(before)
    for point in before.points:
        if point in after.points:
            change = _latency(name, titles[point], old.latency(point), new.latency(point), thresholds)
            yield change if judged else replace(change, verdict="not judged")
    memory = old.model_rss_bytes / 2**20, new.model_rss_bytes / 2**20
    change = _amount(name, "memory", *memory, "MiB", thresholds.memory)
    yield change if judged else replace(change, verdict="not judged")
    yield _amount(name, "file", old.file_bytes / 1024, new.file_bytes / 1024, "KiB", thresholds.size)


def _metrics(name: str, task: Task, old: Result, new: Result, thresholds: Thresholds) -> Iterator[Change]:
    """Every metric of a task; the threshold is for the first, the others have no verdict."""
    before, after = ((side.metrics or {}).get(task.name, {}) for side in (old, new))
    allowed = thresholds.drops.get(task.name, _DROP)
    for metric in task.metrics:
        what, first = f"{task.name}, {metric.title}", metric == task.metrics[0]
        base, value = before.get(metric.name), after.get(metric.name)
        if base is None and value is None:
            continue
        if base is None or value is None:
            shown = ["-" if side is None else metric.format(side) for side in (base, value)]
            yield Change(name, what, shown[0], shown[1], "-", "not judged", first=first)
            continue
        verdict: Verdict = "not judged"
        if first:
            loss = allowed.loss(metric, value, base)
            verdict = "WORSE" if loss > allowed.amount else "better" if -loss > allowed.amount else "same"
        change = metric.change(value, base)
        yield Change(name, what, metric.format(base), metric.format(value), change, verdict, first=first)


def _latency(name: str, title: str, old: Latency, new: Latency, thresholds: Thresholds) -> Change:
    """Slower or faster if the medians' 99 % intervals are apart, and the medians by more than the threshold."""
    (old_low, old_high), (new_low, new_high) = old.p50_interval_ms, new.p50_interval_ms
    ratio, least = new.p50_ms / old.p50_ms, 1 + thresholds.latency / 100
    slower, faster = new_low > old_high and ratio > least, new_high < old_low and ratio < 1 / least
    return Change(
        name,
        f"latency, {title}",
        f"{old.p50_ms:.3f} ms",
        f"{new.p50_ms:.3f} ms",
        f"{ratio:.2f}x",
        "WORSE" if slower else "better" if faster else "same",
    )


def _amount(name: str, what: str, old: float, new: float, unit: str, threshold: float) -> Change:
    ratio, least = new / old, 1 + threshold / 100
    verdict: Verdict = "WORSE" if ratio > least else "better" if ratio < 1 / least else "same"
    return Change(name, what, f"{old:.1f} {unit}", f"{new:.1f} {unit}", f"{ratio:.2f}x", verdict)


def _failures(before: Benchmark, after: Benchmark) -> Iterator[Change]:
    """What could be measured before, and cannot any more."""
    for failure in after.failures:
        if before.result(failure.name) is not None:
            yield Change(failure.name, "runs", "yes", f"no: {failure.reason}", "-", "WORSE")


def _text(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
