"""What a benchmark measured: every raw sample is kept, every statistic is derived from them."""

import statistics

import msgspec

from mtl_edge.artifact import Manifest
from mtl_edge.bench.latency import Latency, Point, Ratio
from mtl_edge.bench.machine import Conditions, Machine
from mtl_edge.bench.memory import Memory
from mtl_edge.bench.server import Server
from mtl_edge.tasks import Task


class ColdStart(msgspec.Struct, frozen=True, kw_only=True):
    """One fresh process: start Python, import the runtime, load the model, run it once, run it a few times more.

    ``process_ms`` ends where the interpreter executes its first line; ``import_ms`` is onnxruntime with numpy; both are
    None where the process did not start alone.
    ``runtime_rss_bytes`` is resident before the model is loaded, ``peak_rss_bytes`` the most that ever was.
    """

    load_ms: float
    first_run_ms: float
    runtime_rss_bytes: int
    peak_rss_bytes: int
    process_ms: float | None = None
    import_ms: float | None = None

    @property
    def total_ms(self) -> float | None:
        """From nothing to the first answer."""
        if self.process_ms is None or self.import_ms is None:
            return None
        return self.process_ms + self.import_ms + self.load_ms + self.first_run_ms


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A model that could not be measured, and why, in one line."""

    name: str
    paths: tuple[str, ...]
    reason: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured of one model, or of several that work together in one process.

    ``manifests`` has one for each file, or none where a file was not made by mtl-edge. ``file_bytes`` is the sum.
    ``compressed_bytes`` is the same of the compressed files (see :mod:`mtl_edge.bench.compressed`), where one of the
    models that were measured together has weights that a mask has set to zero.
    ``inputs`` are those of the first point. ``metrics`` are there only where test data was given, ``memory`` and
    ``server`` only where they were asked for.
    """

    name: str
    paths: tuple[str, ...]
    file_bytes: int
    manifests: tuple[Manifest, ...]
    inputs: str
    cold_starts: tuple[ColdStart, ...]
    latencies: tuple[Latency, ...]
    metrics: dict[str, dict[str, float]] | None = None
    memory: tuple[Memory, ...] = ()
    server: tuple[Server, ...] = ()
    compressed_bytes: int | None = None

    @property
    def size_only(self) -> str | None:
        """The pattern of the weights that a mask has set to zero, where there is one: all that it changes is size."""
        return next((manifest.sparse for manifest in self.manifests if manifest.sparse), None)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What the outputs mean, as far as it is known."""
        return tuple(task for manifest in self.manifests for task in manifest.tasks)

    @property
    def load_ms(self) -> float:
        """Median time to create the session, or all of them."""
        return statistics.median(start.load_ms for start in self.cold_starts)

    @property
    def peak_rss_bytes(self) -> float:
        """Median peak resident memory of a process that loads and runs the model."""
        return statistics.median(start.peak_rss_bytes for start in self.cold_starts)

    @property
    def model_rss_bytes(self) -> float:
        """Median of the part of that peak that the runtime alone does not need."""
        return statistics.median(start.peak_rss_bytes - start.runtime_rss_bytes for start in self.cold_starts)

    def latency(self, point: Point | int) -> Latency:
        """The latencies at a point; a number stands for the first point with so many threads."""
        return next(latency for latency in self.latencies if point in (latency.point, latency.threads))

    def with_arena(self, arena: bool) -> tuple[Memory, ...]:
        """The fresh processes in which the runtime's arena was on, or off."""
        return tuple(memory for memory in self.memory if memory.arena == arena)


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the benchmark; every result was measured in turn with ``base``."""

    machine: Machine
    base: str
    results: tuple[Result, ...]
    failures: tuple[Failure, ...] = ()
    conditions: Conditions | None = None

    @property
    def points(self) -> tuple[Point, ...]:
        """The combinations of threads, batch and dimensions that were measured."""
        return tuple(latency.point for latency in self.results[0].latencies)

    @property
    def threads(self) -> tuple[int, ...]:
        """The numbers of threads that were measured."""
        return tuple(dict.fromkeys(point.threads for point in self.points))

    @property
    def base_result(self) -> Result:
        """What the others are compared to."""
        found = self.result(self.base)
        assert found is not None
        return found

    def ratio(self, result: Result, point: Point | int, base: Result | None = None) -> Ratio:
        """A model's latency over the base's, round by round, with its interval.

        Where another base is given, both are seen relative to the common one, so that it need not have been measured in
        the same rounds.
        """
        ratios = result.latency(point).round_ratios
        if base is not None:
            pairs = zip(ratios, base.latency(point).round_ratios, strict=False)
            ratios = tuple(mine / theirs for mine, theirs in pairs)
        return Ratio.of(ratios)

    def result(self, name: str) -> Result | None:
        """What was measured under this name."""
        return next((result for result in self.results if result.name == name), None)
