"""Who taught: how good each teacher is at each task, beside the networks that learned from it."""

from collections.abc import Iterator, Mapping, Sequence

from mtl_edge.report.table import Cell, Table
from mtl_edge.tasks import Task

TEACHER = "teacher"
"""What the names of networks begin with that only teach: ``teacher/left`` knows that task alone."""

_MUCH = 0.01
"""A teacher that is worse than the dense network by less, relative to it, may be so by chance."""

Metrics = Mapping[str, Mapping[str, float]]
"""Task -> metric -> value on the validation samples."""
Validation = Mapping[str, Metrics]
"""Network -> what it reaches there."""


def teacher_tables(validation: Validation, tasks: Sequence[Task]) -> list[Table]:
    """Each task's first metric: of the dense network, of the teachers, of what they taught.

    No table where the dense network alone has taught.
    """
    if not any(map(_is_teacher, validation)):
        return []
    dense = validation["dense"]
    names = sorted((name for name in validation if "/" not in name or _is_teacher(name)), key=_rank)
    rows = tuple(
        (Cell(name), *(_cell(task, validation[name], dense, warn=_is_teacher(name)) for task in tasks))
        for name in names
    )
    columns = ("network", *(f"{task.name}\n{task.metrics[0].title}" for task in tasks))
    return [
        Table(
            "Who taught, and who learned",
            columns,
            rows,
            caption="On the validation samples, in torch. Under each value, its change against dense.",
        )
    ]


def teacher_warnings(validation: Validation, tasks: Sequence[Task]) -> Iterator[str]:
    """One sentence for each task of which a teacher knows less than the dense network does."""
    for name in filter(_is_teacher, validation):
        for task in tasks:
            metric, known, dense = task.metrics[0], validation[name].get(task.name), validation["dense"][task.name]
            if known is not None and _is_bad(task, known, dense):
                mine, theirs = metric.format(known[metric.name]), metric.format(dense[metric.name])
                found = f"{metric.title} {mine} on the validation samples, where dense has {theirs}"
                yield f"{name} knows less of {task.name} than dense: {found}"


def _cell(task: Task, mine: Metrics, dense: Metrics, *, warn: bool) -> Cell:
    metric, known = task.metrics[0], mine.get(task.name)
    if known is None:
        return Cell("-")
    value, base = known[metric.name], dense[task.name][metric.name]
    if mine is dense:
        return Cell(metric.format(value), sort=value)
    return Cell(
        metric.format(value),
        metric.change(value, base),
        warning=warn and _is_bad(task, known, dense[task.name]),
        sort=value,
        gain=metric.gain(value, base),
    )


def _is_bad(task: Task, known: Mapping[str, float], dense: Mapping[str, float]) -> bool:
    metric = task.metrics[0]
    return metric.gain(known[metric.name], dense[metric.name]) < -_MUCH


def _is_teacher(name: str) -> bool:
    return name.startswith(f"{TEACHER}/")


def _rank(name: str) -> int:
    """The dense network first, then teachers, then students, each as they came."""
    return 0 if name == "dense" else 1 if _is_teacher(name) else 2
