"""Did sharing help? One multi-task model against one model per task, before and after compression."""

import statistics
from dataclasses import dataclass

from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.report.table import Cell, Table
from mtl_edge.tasks import Metric, Task

SINGLE_TASK = "single-task"
"""What the names of single-task models begin with: ``single-task/dense`` are those that ``dense`` is compared to."""


@dataclass(frozen=True)
class Sharing:
    """A multi-task model and the single-task models of the same variant.

    ``gains`` is, for each task, the relative change of its first metric in the direction that is better: 0.01 says
    that the multi-task model's accuracy is 1 % higher, or its error 1 % lower, than the single-task model's.
    """

    multi: Result
    single: Result
    gains: dict[str, float]

    @property
    def delta_m(self) -> float:
        """Their mean (Maninis et al. 2019, arXiv:1904.08918); positive: the multi-task model is better."""
        return statistics.mean(self.gains.values())


def sharing(benchmark: Benchmark) -> list[Sharing]:
    """One entry for each variant that was measured both ways."""
    pairs = []
    for multi in benchmark.results:
        single = benchmark.result(f"{SINGLE_TASK}/{multi.name}")
        if single is not None and multi.metrics and single.metrics:
            gains = {
                task.name: _gain(task.metrics[0], multi.metrics[task.name], single.metrics[task.name])
                for task in multi.tasks
            }
            pairs.append(Sharing(multi, single, gains))
    return pairs


def sharing_tables(benchmark: Benchmark) -> list[Table]:
    """Per task, the multi-task model's gain over the single-task one; and what it costs against all of them.

    No table where there are no single-task models.
    """
    pairs = sharing(benchmark)
    if not pairs:
        return []
    tasks = pairs[0].multi.tasks
    table = Table(
        f"Did sharing help? One multi-task model against {len(tasks)} single-task models "
        "(changes in per cent, positive = multi-task better)",
        (
            "model",
            *(f"{task.name}\n{task.metrics[0].title}" for task in tasks),
            "Δm\nmean",
            *(f"latency\n{threads} thread{'s' * (threads > 1)}" for threads in benchmark.threads),
            "peak memory",
            "file",
        ),
        tuple(_row(pair, tasks, benchmark) for pair in pairs),
    )
    return [table]


def _row(pair: Sharing, tasks: tuple[Task, ...], benchmark: Benchmark) -> tuple[Cell, ...]:
    multi, single = pair.multi, pair.single
    return (
        Cell(multi.name),
        *(_gain_cell(pair, task) for task in tasks),
        Cell(_signed(pair.delta_m), warning=pair.delta_m < 0),
        *(Cell(f"{benchmark.ratio(multi, threads, single).median:.2f}x") for threads in benchmark.threads),
        Cell(
            f"{multi.peak_rss_bytes / single.peak_rss_bytes:.2f}x",
            f"model {multi.model_rss_bytes / single.model_rss_bytes:.2f}x",
        ),
        Cell(f"{multi.file_bytes / single.file_bytes:.2f}x"),
    )


def _gain_cell(pair: Sharing, task: Task) -> Cell:
    metric, gain = task.metrics[0], pair.gains[task.name]
    alone = (pair.single.metrics or {})[task.name][metric.name]
    return Cell(_signed(gain), f"alone {metric.format(alone)}", warning=gain < 0)


def _gain(metric: Metric, multi: dict[str, float], single: dict[str, float]) -> float:
    return metric.gain(multi[metric.name], single[metric.name])


def _signed(share: float) -> str:
    return f"{round(100 * share, 2) + 0.0:+.2f} %"
