"""The few figures that one looks for first: what the chosen model is against the base."""

from dataclasses import dataclass

from mtl_edge.bench.results import Benchmark, Result
from mtl_edge.report.methods import gain
from mtl_edge.report.points import point_titles
from mtl_edge.report.verdicts import chosen, fastest, verdicts


@dataclass(frozen=True)
class Figure:
    """A number, what it is of, and what it was before."""

    value: str
    title: str
    note: str
    warning: bool = False


@dataclass(frozen=True)
class Headline:
    """One model and its figures; ``reason`` says why this one."""

    model: str
    reason: str
    figures: tuple[Figure, ...]


def headline(benchmark: Benchmark) -> Headline | None:
    """The chosen model; without budgets the fastest. None where there is nothing to compare."""
    if len(benchmark.results) < 2:
        return None
    base = benchmark.base_result
    best = chosen(benchmark)
    if best is not None:
        reason = f"the fastest of those within all {len(verdicts(benchmark, best))} budgets"
        reason += "; its zeros save size only" if best.size_only else ""
    else:
        best = fastest(benchmark, [result for result in benchmark.results if len(result.paths) == 1]) or base
        budgets = any(verdicts(benchmark, result) for result in benchmark.results)
        reason = "the fastest; no model is within all budgets" if budgets else "the fastest; no task has a budget"
    if best is base:
        return Headline(best.name, f"{reason}; it is what the others are compared to", ())
    return Headline(best.name, reason, _figures(best, base, benchmark))


def _figures(best: Result, base: Result, benchmark: Benchmark) -> tuple[Figure, ...]:
    point = benchmark.points[0]
    ratio = benchmark.ratio(best, point)
    mine, theirs = best.latency(point).p50_ms, base.latency(point).p50_ms
    found = [
        Figure(
            f"{ratio.median:.2f}x",
            f"latency, {point_titles(benchmark)[point]}",
            f"{theirs:.3f} → {mine:.3f} ms, {ratio.verdict}",
            ratio.verdict == "SLOWER",
        ),
        Figure(
            f"{best.file_bytes / base.file_bytes:.2f}x",
            "file",
            f"{base.file_bytes / 1024:.0f} → {best.file_bytes / 1024:.0f} KiB",
        ),
        Figure(
            f"{best.model_rss_bytes / base.model_rss_bytes:.2f}x",
            "memory of the model",
            f"{base.model_rss_bytes / 2**20:.1f} → {best.model_rss_bytes / 2**20:.1f} MiB",
        ),
    ]
    gains = {task: gain(task, task.metrics[0], best, base) for task in best.tasks}
    known = {task: change for task, change in gains.items() if change is not None}
    if known:
        task = min(known, key=lambda task: known[task])
        metric = task.metrics[0]
        before, after = (base.metrics or {})[task.name][metric.name], (best.metrics or {})[task.name][metric.name]
        verdict = verdicts(benchmark, best).get(task.name)
        found.append(
            Figure(
                metric.change(after, before),
                f"worst task: {task.name}, {metric.title}",
                f"{metric.format(before)} → {metric.format(after)}" + (f", budget {verdict.budget}" if verdict else ""),
                verdict is not None and not verdict.holds,
            )
        )
    return tuple(found)
