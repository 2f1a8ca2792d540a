"""The parent's side of a benchmark: describe all models, choose a base, measure group after group."""

import math
from collections.abc import Sequence

from mtl_edge.bench.contender import Contender
from mtl_edge.bench.describe import Described, describe, failure
from mtl_edge.bench.group import measure_group
from mtl_edge.bench.machine import this_machine
from mtl_edge.bench.monitor import Monitor
from mtl_edge.bench.results import Benchmark, Failure, Result
from mtl_edge.bench.settings import DEFAULTS, Settings
from mtl_edge.errors import BenchError
from mtl_edge.progress import Bar, progress_bar

GROUP = 7
"""Models measured in turn with the base at a time: memory stays bounded however many there are."""


def benchmark(
    models: Sequence[Contender], *, base: Contender | None = None, settings: Settings = DEFAULTS
) -> Benchmark:
    """Measure models, each in processes of its own, in turn with a base.

    Args:
        models: what to measure; the base need not be among them.
        base: what the others are compared to; if not given, the first whose manifest names no parent, or the first.
        settings: how to measure.

    Raises:
        BenchError: a model cannot be read or run, contradicts its manifest, or its process died; with
            ``settings.keep_going`` only if that is the base.
    """
    models = list(dict.fromkeys((*([base] if base else []), *models)))
    monitor = Monitor()
    with progress_bar("bench", total=steps(len(models), settings)) as bar:
        described, failures = describe_all(models, base, settings, bar)
        chosen = next((found for found in described if found.model == base), None) or _root(described)
        others = [found for found in described if found is not chosen]
        sparse = any(manifest.sparse for found in described for manifest in found.manifests)
        results: list[Result] = []
        for start in range(0, max(len(others), 1), GROUP):
            group = others[start : start + GROUP]
            measured, failed = measure_group(
                chosen,
                group,
                settings=settings,
                monitor=monitor,
                bar=bar,
                base_is_known=bool(results),
                compress=sparse,
            )
            results += measured
            failures += failed
    return Benchmark(
        machine=this_machine(),
        base=chosen.model.name,
        results=tuple(results),
        failures=tuple(failures),
        conditions=monitor.conditions(),
    )


def describe_all(
    models: Sequence[Contender], base: Contender | None, settings: Settings, bar: Bar
) -> tuple[list[Described], list[Failure]]:
    """What can be loaded, at least one of them; and what cannot, where ``settings.keep_going``.

    Raises:
        BenchError: a model cannot be loaded, or no model has a dimension that is to be set.
    """
    described: list[Described] = []
    failures: list[Failure] = []
    for model in models:
        try:
            described.append(describe(model, settings))
        except BenchError as error:
            if not settings.keep_going or model == base:
                raise
            failures.append(failure(model, error))
        bar.advance(f"{model.name}: tasks")
    if not described:
        raise BenchError(f"none of {len(models)} models can be measured; the first: {failures[0].reason}")
    for name in settings.dims:
        if all(name in found.unused_dims for found in described):
            raise BenchError(f"--dim {name}: no input has a dimension of this name, found {described[0].inputs}")
    return described, failures


def steps(models: int, settings: Settings) -> int:
    """How many steps the progress bar counts for so many models."""
    groups = max(math.ceil((models - 1) / GROUP), 1)
    once = 1 + settings.cold_starts + 2 * settings.memory_repeats
    turns = 1 + settings.rounds + (settings.scenario == "server")
    return models * once + (models - 1 + groups) * len(settings.points) * turns


def _root(described: Sequence[Described]) -> Described:
    """The first model that descends from no other: what the variants of one run are to be compared to."""
    roots = (found for found in described if any(manifest.lineage.parent is None for manifest in found.manifests))
    return next(roots, described[0])
