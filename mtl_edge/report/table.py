"""The comparison of models as a table of text; terminal, Markdown and HTML only dress it."""

from dataclasses import dataclass

from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.tasks import Task


@dataclass(frozen=True)
class Cell:
    """A value, what stands under it, and whether it calls for attention."""

    value: str
    note: str = ""
    warning: bool = False


@dataclass(frozen=True)
class Table:
    """Column titles and one row per model."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def comparison(benchmark: Benchmark) -> Table:
    """One row per model: its tasks, latency at each number of threads, memory, load time and size."""
    tasks = _tasks(benchmark)
    columns = (
        "model",
        *(f"{task.name}\n{task.metrics[0].title}" for task in tasks),
        *(f"latency p50\n{threads} thread{'s' * (threads > 1)}" for threads in benchmark.threads),
        "peak memory\nof process",
        "load",
        "file",
    )
    return Table(columns, tuple(_row(result, benchmark, tasks) for result in benchmark.results))


def slower_than_base(benchmark: Benchmark) -> list[str]:
    """One sentence for each model and number of threads that came out slower than the base."""
    return [
        f"{result.name} is slower than {benchmark.base} with {threads} thread{'s' * (threads > 1)}: "
        f"{benchmark.ratio(result, threads).median:.2f}x its latency"
        for result in benchmark.results
        for threads in benchmark.threads
        if benchmark.ratio(result, threads).verdict == "SLOWER"
    ]


def _tasks(benchmark: Benchmark) -> tuple[Task, ...]:
    """The tasks of the base, then those that only other models have; none without measured metrics."""
    tasks = {
        task.name: task
        for result in (benchmark.base_result, *benchmark.results)
        if result.manifest is not None and result.metrics is not None
        for task in result.manifest.tasks
    }
    return tuple(tasks.values())


def _row(result: Result, benchmark: Benchmark, tasks: tuple[Task, ...]) -> tuple[Cell, ...]:
    base = benchmark.base_result
    return (
        Cell(result.name),
        *(_metric(task, result, base) for task in tasks),
        *(_latency(result, benchmark, threads) for threads in benchmark.threads),
        Cell(f"{result.peak_rss_bytes / 2**20:.1f} MiB", f"{result.model_rss_bytes / 2**20:.1f} for the model"),
        Cell(f"{result.load_ms:.1f} ms"),
        Cell(f"{result.file_bytes / 1024:.0f} KiB", "" if result is base else f"{result.file_bytes / base.file_bytes:.2f}x"),
    )


def _metric(task: Task, result: Result, base: Result) -> Cell:
    metric = task.metrics[0]
    value = (result.metrics or {}).get(task.name)
    if value is None:
        return Cell("-")
    compared = (base.metrics or {}).get(task.name)
    if result is base or compared is None:
        return Cell(metric.format(value[metric.name]))
    return Cell(metric.format(value[metric.name]), metric.change(value[metric.name], compared[metric.name]))


def _latency(result: Result, benchmark: Benchmark, threads: int) -> Cell:
    latency = result.latency(threads)
    value = f"{latency.p50_ms:.3f} ms"
    p90 = f"p90 {latency.p90_ms:.3f}"
    if result.name == benchmark.base:
        return Cell(value, p90)
    ratio = benchmark.ratio(result, threads)
    return Cell(value, f"{p90}\n{ratio.median:.2f}x, {ratio.verdict}", warning=ratio.verdict == "SLOWER")
