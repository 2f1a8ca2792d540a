"""What each task costs: the model with all tasks against the one that lacks it, measured in turn."""

import tempfile
from pathlib import Path

import msgspec

from mtl_edge.bench.contender import Contender
from mtl_edge.bench.settings import Settings
from mtl_edge.bench.suite import benchmark
from mtl_edge.optimize.subset_file import Whole, cut_tasks

_SETTINGS = Settings(threads=(1,), rounds=7, round_seconds=0.05, cold_starts=1)


class TaskCost(msgspec.Struct, frozen=True, kw_only=True):
    """One task: what leaving it out saves. Time is the median of rounds and may be below 0, where it is noise.

    Attributes:
        task: its name.
        marginal_ms: latency with one thread.
        marginal_bytes: size of the graph, manifests aside.
        decided: whether nine rounds of ten agree that the model is faster without it.
    """

    task: str
    marginal_ms: float
    marginal_bytes: int
    decided: bool


class TaskCosts(msgspec.Struct, frozen=True, kw_only=True):
    """The whole model, and what each of its tasks adds to it."""

    latency_ms: float
    file_bytes: int
    tasks: tuple[TaskCost, ...]


def measure_costs(whole: Whole, settings: Settings = _SETTINGS) -> TaskCosts:
    """Time the whole model in turn with each model that lacks one task; of a model of one task there is nothing to say.

    Raises:
        BenchError: a model cannot be run.
    """
    if len(whole.tasks) < 2:
        return TaskCosts(latency_ms=0.0, file_bytes=len(whole.model), tasks=())
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as scratch:
        base = Contender("whole", (Path(scratch) / "whole.onnx",))
        base.paths[0].write_bytes(whole.model)
        without = {}
        for number, task in enumerate(whole.tasks):
            without[task] = Contender(task, (Path(scratch) / f"without-{number}.onnx",))
            model, _ = cut_tasks(whole, [other for other in whole.tasks if other != task])
            without[task].paths[0].write_bytes(model)
        found = benchmark([base, *without.values()], base=base, settings=settings)
        (threads,) = settings.threads
        latency = found.base_result.latency(threads).p50_ms
        costs = []
        for task, contender in without.items():
            result = found.result(contender.name)
            assert result is not None
            ratio = found.ratio(result, threads)
            costs.append(
                TaskCost(
                    task=task,
                    marginal_ms=latency * (1 - ratio.median),
                    marginal_bytes=len(whole.model) - result.file_bytes,
                    decided=ratio.verdict == "faster",
                )
            )
        return TaskCosts(latency_ms=latency, file_bytes=len(whole.model), tasks=tuple(costs))
