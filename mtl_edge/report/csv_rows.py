"""The figures as CSV, one a line, for spreadsheets and scripts."""

import csv
import io
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.report.teachers import Metrics, Validation
from mtl_edge.tasks import Task

COLUMNS = ("model", "quantity", "task", "threads", "batch", "value", "unit", "relative_to_base")
"""``relative_to_base`` is the value over the base's; of a latency, the median of the ratios of the same rounds."""

_Row = tuple[str, str, str, int | str, int | str, float, str, float | str]


def to_csv(benchmark: Benchmark, validation: Validation = MappingProxyType({})) -> str:
    """A header, and a line for each figure of each model; values are as exact as in the JSON.

    Metrics of trained networks on the validation samples come last, as ``validation_accuracy``, relative to dense.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in benchmark.results:
        writer.writerows(_rows(result, benchmark))
    tasks = {task.name: task for result in benchmark.results for task in result.tasks}
    for network, metrics in validation.items():
        writer.writerows(_validated(network, metrics, validation.get("dense", {}), tasks))
    return text.getvalue()


def _validated(network: str, metrics: Metrics, base: Metrics, tasks: Mapping[str, Task]) -> Iterator[_Row]:
    for name, values in metrics.items():
        for metric in tasks[name].metrics:
            if metric.name in values:
                value = values[metric.name]
                over = _over(value, base.get(name, {}).get(metric.name))
                yield network, f"validation_{metric.name}", name, "", "", value, metric.unit, over


def _rows(result: Result, benchmark: Benchmark) -> Iterator[_Row]:
    base = benchmark.base_result
    for task in result.tasks:
        values = (result.metrics or {}).get(task.name, {})
        before = (base.metrics or {}).get(task.name, {})
        for metric in task.metrics:
            if metric.name in values:
                value = values[metric.name]
                yield (
                    result.name,
                    metric.name,
                    task.name,
                    "",
                    "",
                    value,
                    metric.unit,
                    _over(value, before.get(metric.name)),
                )
    for point in benchmark.points:
        latency, reference = result.latency(point), base.latency(point)
        at = point.threads, point.batch
        yield result.name, "latency_p50", "", *at, latency.p50_ms, "ms", benchmark.ratio(result, point).median
        for share in (90, 99):
            if (late := latency.percentile_ms(share)) is not None:
                yield result.name, f"latency_p{share}", "", *at, late, "ms", _over(late, reference.percentile_ms(share))
    for name, mine, theirs, unit in (
        ("load", result.load_ms, base.load_ms, "ms"),
        ("peak_rss", result.peak_rss_bytes, base.peak_rss_bytes, "bytes"),
        ("model_rss", result.model_rss_bytes, base.model_rss_bytes, "bytes"),
        ("file", result.file_bytes, base.file_bytes, "bytes"),
        ("compressed_file", result.compressed_bytes, base.compressed_bytes, "bytes"),
    ):
        if mine is not None:
            yield result.name, name, "", "", "", mine, unit, _over(mine, theirs)


def _over(value: float, base: float | None) -> float | str:
    return value / base if base else ""
