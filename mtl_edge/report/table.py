"""The comparison of models as tables of text; terminal, Markdown and HTML only dress it."""

from dataclasses import dataclass

from mtl_edge.bench.latency import Point, Ratio
from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.tasks import Metric, Task

_VERDICTS = {"no significant difference": "no sig. difference"}
"""Shorter, for narrow columns."""

SIZE_ONLY = "size only"
"""What is said of a model whose weights a mask has set to zero: no kernel is faster for that."""

_X86 = ("x86_64", "AMD64", "i686", "x86")
_FOR_ARM = (".arm.ort", ".arm.runtime.ort")
"""How the names end that an export gives to what is for ARM; the files themselves do not say it."""


@dataclass(frozen=True)
class Cell:
    """A value, what stands under it, and whether it calls for attention.

    ``sort`` is what rows are ordered by, where that is another thing than the text; ``gain`` is how much better than
    its base the value is, relative to it.
    """

    value: str
    note: str = ""
    warning: bool = False
    sort: float | None = None
    gain: float | None = None


@dataclass(frozen=True)
class Table:
    """Column titles and rows, the first ``names`` cells of which say what the others are about.

    ``prose`` where cells hold words rather than figures; ``summary`` are rows that sum up the others and stay below
    them; ``caption`` says how to read it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    prose: bool = False
    summary: tuple[tuple[Cell, ...], ...] = ()
    names: int = 1
    caption: str = ""


def comparison(benchmark: Benchmark, *, first_metric_only: bool = False) -> list[Table]:
    """What each model gives (its tasks' metrics, where test data was given), and what it costs."""
    cost = cost_table(benchmark)
    tasks = tasks_of(benchmark)
    if not tasks:
        return [cost]
    metrics = [(task, metric) for task in tasks for metric in task.metrics[: 1 if first_metric_only else None]]
    gives = Table(
        "What it gives",
        ("model", *(f"{task.name}\n{metric.title}" for task, metric in metrics)),
        tuple(
            (Cell(result.name), *(_metric(task, metric, result, benchmark.base_result) for task, metric in metrics))
            for result in benchmark.results
        ),
    )
    return [gives, cost]


def warnings(benchmark: Benchmark) -> list[str]:
    """Why the figures are to be taken with care, what could not be measured, and what is slower than the base."""
    noise = benchmark.conditions.noise if benchmark.conditions is not None else ()
    failed = (f"{failure.name} could not be measured: {failure.reason}" for failure in benchmark.failures)
    return [*noise, *failed, *misplaced(benchmark), *slower_than_base(benchmark)]


def misplaced(benchmark: Benchmark) -> list[str]:
    """One sentence for each model that was measured where it is not meant to run."""
    if benchmark.machine.system.rpartition(" ")[2] not in _X86:
        return []
    return [
        f"{result.name} is an .ort for ARM, whose figures mean nothing on x86: measure the .onnx or the .ort for amd64 "
        "here, and this one on ARM"
        for result in benchmark.results
        if any(path.endswith(_FOR_ARM) for path in result.paths)
    ]


def cost_table(benchmark: Benchmark) -> Table:
    """Latency, memory, load time and file size of each model."""
    swept = len(benchmark.points) > len(benchmark.threads)
    size = f", batch {benchmark.points[0].batch}" if swept else ""
    return Table(
        "What it costs",
        (
            "model",
            *(f"latency p50\n{threads_title(threads)}{size}" for threads in benchmark.threads),
            "peak memory",
            "load",
            "file",
        ),
        tuple(_cost(result, benchmark) for result in benchmark.results),
    )


def slower_than_base(benchmark: Benchmark) -> list[str]:
    """One sentence for each model that came out slower than the base."""
    sentences = []
    for result in benchmark.results:
        slower = [threads for threads in benchmark.threads if _is_too_slow(result, benchmark, threads)]
        ratios = [f"{benchmark.ratio(result, threads).median:.2f}x with {threads_title(threads)}" for threads in slower]
        if ratios:
            sentences.append(f"{result.name} is slower than {benchmark.base}: its latency is {', '.join(ratios)}")
    return sentences


def _is_too_slow(result: Result, benchmark: Benchmark, point: Point | int) -> bool:
    """Of several models that work together nobody expects that they are as fast as one."""
    return len(result.paths) == 1 and benchmark.ratio(result, point).verdict == "SLOWER"


def tasks_of(benchmark: Benchmark) -> tuple[Task, ...]:
    """The tasks of the base, then those that only other models have; none without measured metrics."""
    tasks = {
        task.name: task
        for result in (benchmark.base_result, *benchmark.results)
        if result.metrics is not None
        for task in result.tasks
    }
    return tuple(tasks.values())


def value_of(result: Result, task: Task, metric: Metric) -> float | None:
    """A metric as it was measured; None where it was not."""
    return (result.metrics or {}).get(task.name, {}).get(metric.name)


def _cost(result: Result, benchmark: Benchmark) -> tuple[Cell, ...]:
    base = benchmark.base_result
    share = "" if result is base else f"{result.file_bytes / base.file_bytes:.2f}x"
    return (
        Cell(result.name, SIZE_ONLY if result.size_only else ""),
        *(latency_cell(result, benchmark, threads) for threads in benchmark.threads),
        Cell(
            f"{result.peak_rss_bytes / 2**20:.1f} MiB",
            f"model {result.model_rss_bytes / 2**20:.1f}",
            sort=result.peak_rss_bytes,
        ),
        Cell(f"{result.load_ms:.1f} ms", sort=result.load_ms),
        Cell(f"{result.file_bytes / 1024:.0f} KiB", share, sort=result.file_bytes),
    )


def _metric(task: Task, metric: Metric, result: Result, base: Result) -> Cell:
    value = (result.metrics or {}).get(task.name)
    if value is None:
        return Cell("-")
    compared = (base.metrics or {}).get(task.name)
    if result is base or compared is None:
        return Cell(metric.format(value[metric.name]))
    return Cell(metric.format(value[metric.name]), metric.change(value[metric.name], compared[metric.name]))


def latency_cell(result: Result, benchmark: Benchmark, point: Point | int) -> Cell:
    """The median, and under it p90 where it is supported, the ratio to the base with its interval, and the verdict."""
    latency = result.latency(point)
    value = f"{latency.p50_ms:.3f} ms"
    notes = [] if latency.p90_ms is None else [f"p90 {latency.p90_ms:.3f}"]
    if result.name != benchmark.base:
        ratio = benchmark.ratio(result, point)
        notes += [f"{ratio.median:.2f}x {ratio.low:.2f}-{ratio.high:.2f}", _VERDICTS.get(ratio.verdict, ratio.verdict)]
    return Cell(value, "\n".join(notes), warning=_is_too_slow(result, benchmark, point), sort=latency.p50_ms)


def ratio_cell(ratio: Ratio, note: str) -> Cell:
    """How a latency is to another one, its interval and the verdict; a warning where it is the slower one."""
    lines = (note, f"{ratio.low:.2f}-{ratio.high:.2f}", _VERDICTS.get(ratio.verdict, ratio.verdict))
    return Cell(f"{ratio.median:.2f}x", "\n".join(lines), warning=ratio.verdict == "SLOWER", sort=ratio.median)


def threads_title(count: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{count} thread{'s' * (count > 1)}"
