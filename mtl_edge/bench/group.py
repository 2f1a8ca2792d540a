"""Some models measured in turn with the base."""

import itertools
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mtl_edge.bench.compressed import compressed_bytes
from mtl_edge.bench.contender import Contender
from mtl_edge.bench.describe import Described, cold_start, failure, start
from mtl_edge.bench.latency import Latency, Point
from mtl_edge.bench.memory import Memory
from mtl_edge.bench.monitor import Monitor
from mtl_edge.bench.process import Process
from mtl_edge.bench.results import ColdStart, Failure, Result
from mtl_edge.bench.server import Server, find_rate
from mtl_edge.bench.settings import Settings
from mtl_edge.errors import BenchError
from mtl_edge.progress import Bar


@dataclass
class _Measured:
    """What has been measured of one model so far."""

    cold: list[ColdStart] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    rounds: dict[Point, list[dict[str, Any]]] = field(default_factory=dict)
    server: list[Server] = field(default_factory=list)


def measure_group(
    base: Described,
    others: Sequence[Described],
    *,
    settings: Settings,
    monitor: Monitor,
    bar: Bar,
    base_is_known: bool = False,
    compress: bool = False,
) -> tuple[list[Result], list[Failure]]:
    """Measure some models in turn with the base.

    Args:
        base: what they are compared to; it takes part in every round.
        others: the models.
        settings: how to measure.
        monitor: watches the box.
        bar: shows how far it is.
        base_is_known: the base has been measured with another group; only its pace in these rounds is of interest.
        compress: measure also how large the files are once they are compressed.

    Returns:
        The results, the base's first unless it is known; and what failed, where ``settings.keep_going``.

    Raises:
        BenchError: the base failed; or a model, and the benchmark is not to go on without it.
    """
    return _Group(base, others, settings, monitor, bar, base_is_known, compress).measure()


class _Group:
    def __init__(
        self,
        base: Described,
        others: Sequence[Described],
        settings: Settings,
        monitor: Monitor,
        bar: Bar,
        base_is_known: bool,
        compress: bool,
    ) -> None:
        self._base = base.model
        self._described = {item.model: item for item in (base, *others)}
        self._measured = {
            model: _Measured(cold=[item.cold_start] if item.cold_start else [])
            for model, item in self._described.items()
        }
        self._failures: dict[Contender, Failure] = {}
        self._settings = settings
        self._monitor = monitor
        self._bar = bar
        self._known = {base.model} if base_is_known else set[Contender]()
        self._compress = compress

    def measure(self) -> tuple[list[Result], list[Failure]]:
        settings = self._settings
        for _, model in itertools.product(range(settings.cold_starts), self._new):
            self._cold_start(model)
        for _, arena, model in itertools.product(range(settings.memory_repeats), (True, False), self._new):
            self._memory(model, arena)
        for point in settings.points:
            self._rounds(point)
        return [self._result(model) for model in self._new if model in self._alive], list(self._failures.values())

    @property
    def _alive(self) -> list[Contender]:
        return [model for model in self._described if model not in self._failures]

    @property
    def _new(self) -> list[Contender]:
        return [model for model in self._described if model not in self._known]

    @contextmanager
    def _may_fail(self, model: Contender, note: str) -> Iterator[None]:
        """A step of one model: what stops it becomes this model's failure."""
        try:
            yield
        except BenchError as error:
            if model == self._base or not self._settings.keep_going:
                raise
            self._failures[model] = failure(model, error)
        self._bar.advance(f"{model.name}: {note}")

    def _cold_start(self, model: Contender) -> None:
        found = self._measured[model].cold
        if model in self._failures or len(found) == self._settings.cold_starts:
            return
        with (
            self._may_fail(model, "cold start"),
            start(model, self._settings, self._settings.points[0], threads=1) as process,
        ):
            found.append(cold_start(process))

    def _memory(self, model: Contender, arena: bool) -> None:
        if model in self._failures:
            return
        point = self._settings.points[0]
        with self._may_fail(model, "memory"):
            with start(model, self._settings, point, threads=1, memory=True, arena=arena) as process:
                found = process.ask("memory")
            if found is not None:
                self._measured[model].memory.append(msgspec.convert(found, Memory))

    def _rounds(self, point: Point) -> None:
        """Round after round, one turn of each model in random order, so that drift of the box hits all alike."""
        settings, order = self._settings, random.Random(0)
        seconds = settings.turn_seconds(len(self._alive))
        with ExitStack() as stack:
            processes: dict[Contender, Process] = {}
            for model in self._alive:
                with self._may_fail(model, "load"):
                    processes[model] = stack.enter_context(start(model, settings, point, threads=point.threads))
            end = time.monotonic() + settings.duration_s
            for number in itertools.count():
                if number >= settings.rounds and time.monotonic() >= end:
                    break
                for model in order.sample(self._alive, len(self._alive)):
                    with self._may_fail(model, str(point)):
                        self._turn(model, processes[model], point, seconds)
            if settings.scenario == "server":
                for model in self._alive:
                    with self._may_fail(model, f"{point}, arrivals"):
                        self._measured[model].server.append(self._serve(model, processes[model], point))

    def _turn(self, model: Contender, process: Process, point: Point, seconds: float) -> None:
        settings = self._settings
        with self._monitor.turn(process.pid) as other_load:
            found = process.ask("round", seconds=seconds, least=settings.least_runs, keep=settings.kept_samples)
        self._measured[model].rounds.setdefault(point, []).append({**found, "other_load": other_load[0]})

    def _serve(self, model: Contender, process: Process, point: Point) -> Server:
        settings = self._settings
        rounds = self._measured[model].rounds[point]
        capacity = 1e3 / statistics.median(statistics.median(turn["samples_ms"]) for turn in rounds)
        trials = find_rate(process.ask, capacity, settings)
        return Server(
            threads=point.threads,
            batch=point.batch,
            dims=dict(point.dims),
            bound_ms=settings.bound_ms,
            share=settings.bound_share,
            trials=trials,
        )

    def _result(self, model: Contender) -> Result:
        described, measured = self._described[model], self._measured[model]
        base = self._measured[self._base].rounds
        return Result(
            name=model.name,
            paths=tuple(map(str, model.paths)),
            file_bytes=sum(path.stat().st_size for path in model.paths),
            manifests=described.manifests,
            inputs=described.inputs,
            cold_starts=tuple(measured.cold),
            latencies=tuple(_latency(point, turns, base[point]) for point, turns in measured.rounds.items()),
            metrics=described.metrics,
            memory=tuple(measured.memory),
            server=tuple(measured.server),
            compressed_bytes=sum(map(compressed_bytes, model.paths)) if self._compress else None,
        )


def _latency(point: Point, turns: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]]) -> Latency:
    thinned = any(turn["runs"] > len(turn["samples_ms"]) for turn in turns)
    energy = tuple(turn["energy_j"] for turn in turns)
    return Latency(
        threads=point.threads,
        batch=point.batch,
        dims=dict(point.dims),
        rounds_ms=tuple(tuple(turn["samples_ms"]) for turn in turns),
        base_ms=tuple(statistics.median(turn["samples_ms"]) for turn in base),
        runs=tuple(turn["runs"] for turn in turns) if thinned else (),
        call_ms=tuple(turn["call_ms"] for turn in turns),
        warm_up_runs=tuple(turn["warm_up_runs"] for turn in turns),
        other_load=tuple(turn["other_load"] for turn in turns),
        energy_j=() if None in energy else energy,
        resident_bytes=tuple(turn["resident_bytes"] for turn in turns),
    )
