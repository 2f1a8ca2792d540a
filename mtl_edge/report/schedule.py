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
    own = {task: schedule.metrics[task.name][task.metrics[0].name] for task in tasks if task.name in schedule.metrics}
    whole = Cell("1.00x", sort=1.0) if schedule.of == "dense" else Cell("")
    start = (Cell("0", "dense"), whole, Cell(""))
    rows = [(*start, *(Cell(task.metrics[0].format(value)) for task, value in own.items()))]
    for number, step in enumerate(schedule.steps, 1):
        note = "over budget" if number > schedule.kept else "the result" if number == schedule.kept else ""
        share = step.parameters / schedule.parameters
        cells = (_metric(task, value, step) for task, value in own.items())
        rows.append((Cell(str(number), note), _cost(step, share), Cell(str(step.epochs)), *cells))
    ended = schedule_line(schedule)
    return Table(
        title,
        ("step", "cost", "epochs", *(f"{task.name}\n{task.metrics[0].title}" for task in own)),
        tuple(rows),
        caption="Each step removes the same factor and is fine-tuned; metrics are those on the validation samples "
        f"after it; costs are relative to the {schedule.of} network.{f' Pruning {ended}.' if ended else ''}",
    )


def _cost(step: PrunedStep, share: float) -> Cell:
    parameters = f"{share:.2f}x parameters"
    if step.reached is None or step.reached.of == "parameters":
        return Cell(parameters, sort=share)
    return Cell(f"{step.reached.ratio:.2f}x {step.reached.of}", parameters, sort=step.reached.ratio)


def _metric(task: Task, before: float, step: PrunedStep) -> Cell:
    metric, over = task.metrics[0], next((missed for missed in step.missed if missed.task == task.name), None)
    value = step.metrics[task.name][metric.name]
    note = metric.change(value, before) + (f"\nMISSES {over.budget}" if over is not None else "")
    return Cell(metric.format(value), note, warning=over is not None)
