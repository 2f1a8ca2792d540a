"""The parent's side of a benchmark: start fresh processes, take turns, collect samples."""

import contextlib
import itertools
import json
import math
import random
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from mtl_edge.artifact import Manifest
from mtl_edge.bench.latency import Latency
from mtl_edge.bench.machine import this_machine
from mtl_edge.bench.results import Benchmark, ColdStart, Result
from mtl_edge.errors import BenchError
from mtl_edge.progress import progress_bar

_WORKER = ("-m", "mtl_edge.bench.worker")
_GROUP = 7
"""Models measured in turn with the base at a time: memory stays bounded however many there are."""


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        threads: intra-op threads; everything is measured with each of them.
        batch: size of symbolic first dimensions.
        dims: sizes of other symbolic dimensions, by name.
        rounds: each model has one turn per round, in random order.
        round_seconds: length of a turn, after a warm-up of a tenth of it.
        cold_starts: fresh processes for load time, first run and memory.
        data: the test samples, an ``.npz`` or a folder of ``.npy`` files, for the tasks' metrics of models that have a
            manifest.
    """

    threads: Sequence[int] = (1, 2)
    batch: int = 1
    dims: Mapping[str, int] = field(default_factory=dict)
    rounds: int = 10
    round_seconds: float = 0.2
    cold_starts: int = 5
    data: Path | None = None


@dataclass(frozen=True)
class Contender:
    """What is measured as one: a model, or several that are run one after the other in one process."""

    name: str
    paths: tuple[Path, ...]


def contenders(paths: Iterable[Path]) -> tuple[Contender, ...]:
    """Models that each run alone, under the shortest names that tell them apart."""
    unique = list(dict.fromkeys(paths))
    return tuple(Contender(name, (path,)) for path, name in zip(unique, _names(unique), strict=True))


def benchmark(
    models: Sequence[Contender], *, base: Contender | None = None, settings: Settings = Settings()
) -> Benchmark:
    """Measure models, each in processes of its own, in turn with a base.

    Args:
        models: what to measure; the base need not be among them.
        base: what the others are compared to; if not given, the first whose manifest names no parent, or the first.
        settings: how to measure.

    Raises:
        BenchError: a model cannot be read or run, contradicts its manifest, or its process died.
    """
    models = list(dict.fromkeys((*([base] if base else []), *models)))
    manifests: dict[Contender, tuple[Manifest, ...]] = {}
    group_count = max(math.ceil((len(models) - 1) / _GROUP), 1)
    turns = (len(models) - 1 + group_count) * len(settings.threads) * settings.rounds
    cold = {model: list[dict[str, Any]]() for model in models}
    rounds = {model: {threads: list[list[float]]() for threads in settings.threads} for model in models}
    pace = {model: dict[int, list[float]]() for model in models}
    metrics: dict[Contender, dict[str, dict[str, float]] | None] = {}
    inputs: dict[Contender, str] = {}
    unused = Counter[str]()
    with progress_bar("bench", total=len(models) * (settings.cold_starts + 1) + turns) as bar:
        for model in models:
            with _Process(model, settings, threads=0) as process:
                described = process.ask("describe")
                inputs[model] = described["inputs"]
                found = msgspec.convert(described["manifests"], tuple[Manifest | None, ...])
                manifests[model] = tuple(manifest for manifest in found if manifest)
                unused.update(described["unused_dims"])
                if settings.data is not None:
                    metrics[model] = process.ask("evaluate", data=str(settings.data))
            bar.advance(f"{model.name}: tasks")
        for name in settings.dims:
            if unused[name] == len(models):
                raise BenchError(f"--dim {name}: no input has a dimension of this name, found {inputs[models[0]]}")
        base = base or _root(models, manifests)
        others = [model for model in models if model != base]
        groups = [(base, *others[start : start + _GROUP]) for start in range(0, len(others) or 1, _GROUP)]
        for _, model in itertools.product(range(settings.cold_starts), models):
            with _Process(model, settings, threads=1) as process:
                cold[model].append(process.ask("cold-start"))
            bar.advance(f"{model.name}: cold start")
        for group, threads in itertools.product(groups, settings.threads):
            before = len(rounds[base][threads])
            for model, samples in _take_turns(group, threads, settings):
                rounds[model][threads].append(samples)
                bar.advance(f"{model.name}: {threads} thread{'s' * (threads > 1)}")
            for model in group:
                pace[model][threads] = [statistics.median(samples) for samples in rounds[base][threads][before:]]
        pace[base] = {
            threads: [statistics.median(samples) for samples in rounds[base][threads]] for threads in pace[base]
        }
    return Benchmark(
        machine=this_machine(),
        base=base.name,
        results=tuple(
            Result(
                name=model.name,
                paths=tuple(map(str, model.paths)),
                file_bytes=sum(path.stat().st_size for path in model.paths),
                manifests=manifests[model],
                inputs=inputs[model],
                cold_starts=msgspec.convert(cold[model], tuple[ColdStart, ...]),
                latencies=tuple(
                    Latency(
                        threads=threads,
                        batch=settings.batch,
                        dims=dict(settings.dims),
                        rounds_ms=tuple(map(tuple, rounds[model][threads])),
                        base_ms=tuple(pace[model][threads]),
                    )
                    for threads in settings.threads
                ),
                metrics=metrics.get(model),
            )
            for model in (base, *others)
        ),
    )


def _root(models: Sequence[Contender], manifests: Mapping[Contender, tuple[Manifest, ...]]) -> Contender:
    """The first model that descends from no other: what the variants of one run are to be compared to."""
    roots = (model for model in models if any(manifest.lineage.parent is None for manifest in manifests[model]))
    return next(roots, models[0])


def _take_turns(
    group: Sequence[Contender], threads: int, settings: Settings
) -> Iterator[tuple[Contender, list[float]]]:
    """Round after round, one turn of each model in random order, so that drift of the box hits all alike."""
    order = random.Random(0)
    with contextlib.ExitStack() as stack:
        processes = {model: stack.enter_context(_Process(model, settings, threads)) for model in group}
        for _ in range(settings.rounds):
            for model in order.sample(group, len(group)):
                yield model, processes[model].ask("round", seconds=settings.round_seconds)


class _Process:
    """A worker process with a model loaded."""

    def __init__(self, model: Contender, settings: Settings, threads: int) -> None:
        self._model = model
        self._load = {
            "paths": list(map(str, model.paths)),
            "batch": settings.batch,
            "dims": dict(settings.dims),
            "threads": threads,
        }

    def __enter__(self) -> "_Process":
        self._child = subprocess.Popen(
            [sys.executable, *_WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            self._exchange(self._load)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.communicate()

    def ask(self, what: str, **details: object) -> Any:
        """Send a request and wait for its answer."""
        return self._exchange({"do": what, **details})

    def _exchange(self, request: Mapping[str, object]) -> Any:
        stdin, stdout, stderr = self._child.stdin, self._child.stdout, self._child.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        line = stdout.readline()
        if not line:
            code = self._child.wait()
            last = (stderr.read().strip().splitlines() or ["no message"])[-1]
            place = ", ".join(map(str, self._model.paths))
            raise BenchError(f"{place}: the measuring process ended with status {code}: {last}")
        reply = json.loads(line)
        if "error" in reply:
            raise BenchError(reply["error"])
        return reply["value"]


def _names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart: ``dense`` for ``artifacts/dense/model.onnx``."""
    names: list[str] = []
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join((*path.parts[-depth:-1], path.stem)) for path in paths]
        if len(set(names)) == len(paths):
            break
    return [name.removesuffix("/model") for name in names]
