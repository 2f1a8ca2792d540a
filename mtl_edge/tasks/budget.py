"""How much worse than the dense fp32 network a task may become."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeVar

import msgspec

from mtl_edge.errors import DataError
from mtl_edge.tasks.base import Metric, TaskFields, TaskKind

AnyTask = TypeVar("AnyTask", bound=TaskFields)

_TIGHTEST = 0.1
"""Of the loosest budget: below it, no task counts more."""
_TEXT = re.compile(r"(?P<amount>\d+(\.\d+)?) ?(?P<unit>pt|%)")


class Budget(msgspec.Struct, frozen=True):
    """How much worse a task's first metric may become: ``0.5 pt`` of a share, or ``2 %`` of any metric."""

    amount: float
    unit: Literal["pt", "%"]

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"

    def loss(self, metric: Metric, value: float, base: float) -> float:
        """How much worse than the base a value is, in this budget's unit; negative where it is better."""
        return 100 * (base - value) if self.unit == "pt" else -100 * metric.gain(value, base)

    def limit(self, metric: Metric, base: float) -> float:
        """The worst value that is still within it."""
        change = self.amount / 100 * (1.0 if self.unit == "pt" else abs(base) or 1.0)
        return base - change if metric.higher_is_better else base + change


def read_budget(text: str, task: TaskKind) -> Budget:
    """Read ``0.5pt`` or ``2%``.

    Raises:
        ValueError: it is not of this form, or points are asked of an error in a unit of its own.
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"must be as in 0.5pt or 2%, found {text!r}")
    metric = task.metrics[0]
    if found["unit"] == "pt" and metric.unit == "error":
        raise ValueError(f"{task.name} has an error ({metric.title}): must be in %, found {text!r}")
    return Budget(float(found["amount"]), "pt" if found["unit"] == "pt" else "%")


def read_task_budget(text: str, tasks: Mapping[str, TaskKind]) -> tuple[str, Budget]:
    """Read what stands in ``--max-drop``: ``left=0.5pt`` or ``count=2%``.

    Raises:
        DataError: it is not of this form, or names no task.
    """
    name, equals, amount = text.partition("=")
    if not equals:
        raise DataError(f"--max-drop: must be as in left=0.5pt or count=2%, found {text!r}")
    if name not in tasks:
        raise DataError(f"--max-drop: must name a task ({', '.join(tasks)}), found {name!r}")
    try:
        return name, read_budget(amount, tasks[name])
    except ValueError as error:
        raise DataError(f"--max-drop {name}: {error}") from error


def budgets_of(tasks: Iterable[TaskKind]) -> dict[str, Budget]:
    """Task name -> its budget, of the tasks that have one.

    Raises:
        ValueError: as for :func:`read_budget`.
    """
    return {task.name: read_budget(task.max_drop, task) for task in tasks if task.max_drop is not None}


def budget_weights(tasks: Iterable[TaskKind]) -> dict[str, float]:
    """Task name -> how much it counts where what can be lost is shared out: the tighter its budget, the more.

    A task that may lose half as much as another counts twice as much, points of a share taken as percent. What has no
    budget counts as little as the loosest that there is, and all count alike where none has one.
    """
    budgets = budgets_of(tasks := tuple(tasks))
    loosest = max((budget.amount for budget in budgets.values()), default=1.0)
    amounts = {task.name: budgets[task.name].amount if task.name in budgets else loosest for task in tasks}
    return {name: loosest / max(amount, _TIGHTEST * loosest) if loosest else 1.0 for name, amount in amounts.items()}


def without_budgets(tasks: Iterable[AnyTask]) -> tuple[AnyTask, ...]:
    """The same tasks without their budgets, on which nothing that is trained depends."""
    return tuple(msgspec.structs.replace(task, max_drop=None) for task in tasks)
