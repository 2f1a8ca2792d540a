"""Do the models stay within the tasks' budgets, and which one would one take?"""

from collections.abc import Sequence
from dataclasses import dataclass

from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.report.sparse import without_zeros
from mtl_edge.report.table import value_of
from mtl_edge.tasks import Budget, Task, read_budget


@dataclass(frozen=True)
class Verdict:
    """What a model lost of one task against the base, in the budget's unit; negative where it is better."""

    task: Task
    budget: Budget
    loss: float

    @property
    def holds(self) -> bool:
        """Whether the task stayed within its budget."""
        return self.loss <= self.budget.amount

    def __str__(self) -> str:
        return f"{self.loss:+.2f} of {self.budget}"


def budget_of(benchmark: Benchmark, task: Task) -> Budget | None:
    """The task's budget as the base's manifest names it, or that of any other model; None where it has none."""
    named = (
        known.max_drop
        for result in (benchmark.base_result, *benchmark.results)
        for known in result.tasks
        if known.name == task.name and known.max_drop is not None
    )
    text = next(named, None)
    return None if text is None else read_budget(text, task)


def verdicts(benchmark: Benchmark, result: Result) -> dict[str, Verdict]:
    """Task name -> what became of its budget on the test samples; only tasks that have one."""
    found: dict[str, Verdict] = {}
    for task in result.tasks:
        metric, budget = task.metrics[0], budget_of(benchmark, task)
        value, base = value_of(result, task, metric), value_of(benchmark.base_result, task, metric)
        if budget is not None and value is not None and base is not None:
            found[task.name] = Verdict(task, budget, budget.loss(metric, value, base))
    return found


def chosen(benchmark: Benchmark) -> Result | None:
    """The fastest model within all budgets; None where no task has a budget."""
    wanted = {task.name for task in benchmark.base_result.tasks if budget_of(benchmark, task) is not None}
    within = []
    for result in benchmark.results:
        found = verdicts(benchmark, result)
        if wanted and wanted <= set(found) and len(result.paths) == 1 and all(each.holds for each in found.values()):
            within.append(result)
    return fastest(benchmark, within)


def fastest(benchmark: Benchmark, results: Sequence[Result]) -> Result | None:
    """The fastest of some models at the first point of the sweep; None where there are none.

    A sparse one is none of them where the same without zeros is: between these two latency is chance.
    """
    names = {result.name for result in results}
    left = [
        result for result in results if (whole := without_zeros(benchmark, result)) is None or whole.name not in names
    ]
    return min(left, key=lambda result: result.latency(benchmark.points[0]).p50_ms, default=None)
