"""The first look at a model: whether it can be loaded, and what it says of itself."""

from dataclasses import dataclass

import msgspec

from mtl_edge.artifact import Manifest
from mtl_edge.bench.ahead import looked_at
from mtl_edge.bench.contender import Contender
from mtl_edge.bench.latency import Point
from mtl_edge.bench.process import Process
from mtl_edge.bench.results import ColdStart, Failure
from mtl_edge.bench.settings import Settings
from mtl_edge.errors import BenchError, ModelError
from mtl_edge.intake.limits import free_to_take
from mtl_edge.intake.structure import read_structure


@dataclass(frozen=True)
class Described:
    """A model that can be loaded, and what it says of itself."""

    model: Contender
    manifests: tuple[Manifest, ...]
    inputs: str
    unused_dims: frozenset[str]
    metrics: dict[str, dict[str, float]] | None
    cold_start: ColdStart | None


def describe(model: Contender, settings: Settings) -> Described:
    """Load a model once to learn its tasks and inputs; and its metrics where there are test samples, on all cores.

    Without them the process is one like any other cold start, and counts as one.

    Raises:
        BenchError: its file says what cannot be, it cannot be loaded or run, or contradicts its manifest.
    """
    try:
        for path in model.paths:
            if path.suffix != ".ort":  # the runtime's own format
                read_structure(path)
    except ModelError as error:
        raise BenchError(str(error)) from error
    metrics = None
    with start(model, settings, settings.points[0], threads=1 if settings.data is None else 0) as process:
        first = cold_start(process)  # with samples, too: a model that never answers is to be found out in time
        found = process.ask("describe")
        if settings.data is not None:
            metrics = process.ask("evaluate", patient=True, data=str(settings.data))
    manifests = msgspec.convert(found["manifests"], tuple[Manifest | None, ...])
    return Described(
        model=model,
        manifests=tuple(manifest for manifest in manifests if manifest),
        inputs=found["inputs"],
        unused_dims=frozenset(found["unused_dims"]),
        metrics=metrics,
        cold_start=first if settings.data is None and (process.started or settings.cold_starts > 1) else None,
    )


def start(model: Contender, settings: Settings, point: Point, *, threads: int, **load: object) -> Process:
    """A measuring process with a model loaded at a point."""
    load = {"threads": threads, "batch": point.batch, "dims": dict(point.dims), **load}
    found = looked_at(model, load)
    if found is not None:
        return found
    limit = settings.memory_limit_bytes or free_to_take()
    return Process(model, timeout_s=settings.timeout_s, memory_limit=limit, **load)


def cold_start(process: Process) -> ColdStart:
    """What it took from nothing to the first answer."""
    return msgspec.convert({**process.started, **process.ask("cold-start")}, ColdStart)


def failure(model: Contender, error: BenchError) -> Failure:
    """A model that could not be measured."""
    return Failure(name=model.name, paths=tuple(map(str, model.paths)), reason=str(error))
