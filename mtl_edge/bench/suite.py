"""The parent's side of a benchmark: start fresh processes, take turns, collect samples."""

import contextlib
import itertools
import json
import math
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from mtl_edge.artifact import Manifest
from mtl_edge.bench.machine import this_machine
from mtl_edge.bench.results import Benchmark, ColdStart, Latency, Result
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


def benchmark(models: Sequence[Path], *, base: Path | None = None, settings: Settings = Settings()) -> Benchmark:
    """Measure models, each in processes of its own, in turn with a base.

    Args:
        models: any ``.onnx`` files.
        base: what the others are compared to; if not given, the first whose manifest names no parent, or the first.
        settings: how to measure.

    Raises:
        BenchError: a model cannot be read or run, contradicts its manifest, or its process died.
    """
    paths = list(dict.fromkeys((*([base] if base else []), *models)))
    names = _names(paths)
    manifests: dict[Path, Manifest | None] = {}
    group_count = max(math.ceil((len(paths) - 1) / _GROUP), 1)
    turns = (len(paths) - 1 + group_count) * len(settings.threads) * settings.rounds
    cold = {path: list[dict[str, Any]]() for path in paths}
    rounds = {path: {threads: list[list[float]]() for threads in settings.threads} for path in paths}
    metrics: dict[Path, dict[str, dict[str, float]] | None] = {}
    inputs: dict[Path, str] = {}
    unused = Counter[str]()
    with progress_bar("bench", total=len(paths) * (settings.cold_starts + 1) + turns) as bar:
        for path in paths:
            with _Process(path, settings, threads=0) as process:
                described = process.ask("describe")
                inputs[path] = described["inputs"]
                manifests[path] = msgspec.convert(described["manifest"], Manifest | None)
                unused.update(described["unused_dims"])
                if settings.data is not None:
                    metrics[path] = process.ask("evaluate", data=str(settings.data))
            bar.advance(f"{names[path]}: tasks")
        for name in settings.dims:
            if unused[name] == len(paths):
                raise BenchError(f"--dim {name}: no input has a dimension of this name, found {inputs[paths[0]]}")
        base = base or _root(paths, manifests)
        others = [path for path in paths if path != base]
        groups = [(base, *others[start : start + _GROUP]) for start in range(0, len(others) or 1, _GROUP)]
        for _, path in itertools.product(range(settings.cold_starts), paths):
            with _Process(path, settings, threads=1) as process:
                cold[path].append(process.ask("cold-start"))
            bar.advance(f"{names[path]}: cold start")
        for group, threads in itertools.product(groups, settings.threads):
            for path, samples in _take_turns(group, threads, settings):
                rounds[path][threads].append(samples)
                bar.advance(f"{names[path]}: {threads} thread{'s' * (threads > 1)}")
    return Benchmark(
        machine=this_machine(),
        base=names[base],
        batch=settings.batch,
        results=tuple(
            Result(
                name=names[path],
                path=str(path),
                file_bytes=path.stat().st_size,
                manifest=manifests[path],
                inputs=inputs[path],
                cold_starts=msgspec.convert(cold[path], tuple[ColdStart, ...]),
                latencies=tuple(
                    Latency(threads=threads, rounds_ms=tuple(map(tuple, rounds[path][threads])))
                    for threads in settings.threads
                ),
                metrics=metrics.get(path),
            )
            for path in (base, *others)
        ),
    )


def _root(paths: Sequence[Path], manifests: Mapping[Path, Manifest | None]) -> Path:
    """The first model that descends from no other: what the variants of one run are to be compared to."""
    roots = (path for path in paths if (manifest := manifests[path]) and manifest.lineage.parent is None)
    return next(roots, paths[0])


def _take_turns(group: Sequence[Path], threads: int, settings: Settings) -> Iterator[tuple[Path, list[float]]]:
    """Round after round, one turn of each model in random order, so that drift of the box hits all alike."""
    order = random.Random(0)
    with contextlib.ExitStack() as stack:
        processes = {path: stack.enter_context(_Process(path, settings, threads)) for path in group}
        for _ in range(settings.rounds):
            for path in order.sample(group, len(group)):
                yield path, processes[path].ask("round", seconds=settings.round_seconds)


class _Process:
    """A worker process with one model loaded."""

    def __init__(self, path: Path, settings: Settings, threads: int) -> None:
        self._path = path
        self._load = {
            "path": str(path),
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
            raise BenchError(f"{self._path}: the measuring process ended with status {code}: {last}")
        reply = json.loads(line)
        if "error" in reply:
            raise BenchError(reply["error"])
        return reply["value"]


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """The shortest ends of the paths that tell them apart: ``dense`` for ``artifacts/dense/model.onnx``."""
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = {path: "/".join((*path.parts[-depth:-1], path.stem)) for path in paths}
        if len(set(names.values())) == len(paths):
            break
    return {path: name.removesuffix("/model") for path, name in names.items()}
