"""Pruning in several steps as a table: what each cost and what each task had after it."""

from collections.abc import Mapping, Sequence

from mtl_edge.compress.outcome import Pruned, PrunedStep, Schedule, schedule_line
from mtl_edge.report.table import Cell, Table
from mtl_edge.tasks import Task


def schedule_tables(pruned: Mapping[str, Pruned], tasks: Sequence[Task]) -> list[Table]:
    """One table for each network that was pruned in steps.

    Args:
        pruned: what pruning did to each network.
        tasks: those of the dense network.
    """
    return [
        _table(f"{name}, step by step", found.schedule, tasks)
        for name, found in pruned.items()
        if found.schedule is not None
    ]


def _table(title: str, schedule: Schedule, tasks: Sequence[Task]) -> Table:
    own = [task for task in tasks if task.name in schedule.dense.metrics]
    rows = [_row(Cell("0", "before"), schedule.dense, schedule.dense, own)]
    for number, step in enumerate(schedule.steps, 1):
        note = "over budget" if number > schedule.kept else "the result" if number == schedule.kept else ""
        rows.append(_row(Cell(str(number), note), step, schedule.dense, own))
    ended = schedule_line(schedule)
    return Table(
        title,
        ("step", "cost", "epochs", *(f"{task.name}\n{task.metrics[0].title}" for task in own)),
        tuple(rows),
        caption="Each step removes the same factor and is fine-tuned; metrics are those on the validation samples "
        f"after it.{f' Pruning {ended}.' if ended else ''}",
    )


def _row(name: Cell, step: PrunedStep, dense: PrunedStep, tasks: Sequence[Task]) -> tuple[Cell, ...]:
    share = step.parameters / dense.parameters
    cost, note = f"{share:.2f}x parameters", ""
    if step.reached is not None and step.reached.of != "parameters":
        cost, note = f"{step.reached.ratio:.2f}x {step.reached.of}", cost
    over = {missed.task: missed for missed in step.missed}
    cells = []
    for task in tasks:
        metric = task.metrics[0]
        value, before = step.metrics[task.name][metric.name], dense.metrics[task.name][metric.name]
        change = "" if step is dense else metric.change(value, before)
        if task.name in over:
            change += f"\nMISSES {over[task.name].budget}"
        cells.append(Cell(metric.format(value), change, warning=task.name in over))
    return (name, Cell(cost, note, sort=share), Cell(str(step.epochs)), *cells)
