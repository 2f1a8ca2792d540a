"""What each compression method does to each task, and to all of them together."""

import statistics
from collections.abc import Sequence

from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.report.table import Cell, Table, tasks_of, value_of
from mtl_edge.report.verdicts import verdicts
from mtl_edge.tasks import Metric, Task

_MOST_MODELS = 8


def methods_table(benchmark: Benchmark) -> Table | None:
    """A row for each metric of each task, a column for each model, and means over the tasks below.

    None without metrics, or where there are too many models for a column each.
    """
    models = [result for result in benchmark.results if result.metrics]
    tasks = tasks_of(benchmark)
    if not tasks or len(models) > _MOST_MODELS:
        return None
    base = benchmark.base_result
    rows = tuple(
        (Cell(task.name), Cell(metric.title), *(_cell(task, metric, result, benchmark) for result in models))
        for task in tasks
        for metric in task.metrics
        if any(value_of(result, task, metric) is not None for result in models)
    )
    return Table(
        "Task by task",
        ("task", "metric", *(result.name for result in models)),
        rows,
        summary=_summary(tasks, models, base),
        names=2,
        caption=f"Under each value, its change against {base.name}. Means are of changes relative to {base.name}: "
        "positive = better, whichever way the metric counts.",
    )


def gain(task: Task, metric: Metric, result: Result, base: Result) -> float | None:
    """How much better than the base a model is, relative to it; None where one of them was not measured."""
    mine, theirs = value_of(result, task, metric), value_of(base, task, metric)
    return None if mine is None or theirs is None else metric.gain(mine, theirs)


def mean_gain(pairs: Sequence[tuple[Task, Metric]], result: Result, base: Result) -> float | None:
    """The mean over some metrics; None where one of them was not measured."""
    gains = [gain(task, metric, result, base) for task, metric in pairs]
    found = [value for value in gains if value is not None]
    return statistics.mean(found) if found and len(found) == len(gains) else None


def signed_percent(share: float) -> str:
    """``+0.20 %``, and never ``-0.00 %``."""
    return f"{round(100 * share, 2) + 0.0:+.2f} %"


def _cell(task: Task, metric: Metric, result: Result, benchmark: Benchmark) -> Cell:
    value, reference = value_of(result, task, metric), value_of(benchmark.base_result, task, metric)
    if value is None:
        return Cell("-")
    text = metric.format(value)
    if result is benchmark.base_result or reference is None:
        return Cell(text, sort=value)
    found, note = metric.gain(value, reference), metric.change(value, reference)
    verdict = verdicts(benchmark, result).get(task.name) if metric == task.metrics[0] else None
    if verdict is None:
        return Cell(text, note, sort=found, gain=found)
    note += f"\n{'within' if verdict.holds else 'MISSES'} {verdict.budget}"
    return Cell(text, note, warning=not verdict.holds, sort=found, gain=found)


def _summary(tasks: Sequence[Task], models: Sequence[Result], base: Result) -> tuple[tuple[Cell, ...], ...]:
    """Means over the tasks that share a metric, and of every task's first metric."""
    shared: dict[str, list[tuple[Task, Metric]]] = {}
    for task in tasks:
        for metric in task.metrics:
            shared.setdefault(metric.title, []).append((task, metric))
    lines = [
        (f"mean of {len(pairs)} tasks", title, pairs)
        for title, pairs in shared.items()
        if len(pairs) > 1 and len(tasks) > 1
    ]
    if len(tasks) > 1:
        lines.append(("mean of all tasks", "first metric", [(task, task.metrics[0]) for task in tasks]))
    return tuple(
        (Cell(name), Cell(title), *(_mean_cell(pairs, result, base) for result in models))
        for name, title, pairs in lines
    )


def _mean_cell(pairs: Sequence[tuple[Task, Metric]], result: Result, base: Result) -> Cell:
    found = mean_gain(pairs, result, base)
    return Cell("-") if found is None or result is base else Cell(signed_percent(found), gain=found)
