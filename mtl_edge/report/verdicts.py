"""Do the models stay within the tasks' budgets, and which one would one take?"""

from dataclasses import dataclass

from mtl_edge.bench.results import Benchmark, Result
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
    base = benchmark.base_result.metrics
    found: dict[str, Verdict] = {}
    for task in result.tasks:
        budget = budget_of(benchmark, task)
        if budget is None or base is None or task.name not in base or not result.metrics:
            continue
        metric = task.metrics[0]
        value, reference = result.metrics[task.name][metric.name], base[task.name][metric.name]
        found[task.name] = Verdict(task, budget, budget.loss(metric, value, reference))
    return found


def chosen(benchmark: Benchmark) -> Result | None:
    """The fastest model within all budgets, at the first point of the sweep; None where no task has a budget."""
    base = {task.name for task in benchmark.base_result.tasks}
    within = []
    for result in benchmark.results:
        found = verdicts(benchmark, result)
        whole = base <= {task.name for task in result.tasks} and len(result.paths) == 1
        if found and whole and all(verdict.holds for verdict in found.values()):
            within.append(result)
    return min(within, key=lambda result: result.latency(benchmark.points[0]).p50_ms, default=None)
