"""What a benchmark measured: every raw sample is kept, every statistic is derived from them."""

import math
import statistics

import msgspec

from mtl_edge.artifact import Manifest
from mtl_edge.bench.machine import Machine
from mtl_edge.tasks import Task

_ROUNDS_FOR_A_VERDICT = 5


class ColdStart(msgspec.Struct, frozen=True, kw_only=True):
    """One fresh process: load the model, run it once, run it a few times more.

    ``runtime_rss_bytes`` is resident before the model is loaded, ``peak_rss_bytes`` the most that ever was.
    """

    load_ms: float
    first_run_ms: float
    runtime_rss_bytes: int
    peak_rss_bytes: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies of one model with one number of threads: one list of samples per round.

    ``base_ms`` is the base's median in each of these rounds. The base takes part in the rounds of all models, which are
    measured some at a time.
    """

    threads: int
    rounds_ms: tuple[tuple[float, ...], ...]
    base_ms: tuple[float, ...]

    @property
    def p50_ms(self) -> float:
        """Median over all samples."""
        return percentile(self._samples, 50)

    @property
    def p90_ms(self) -> float:
        """90th percentile over all samples."""
        return percentile(self._samples, 90)

    @property
    def round_medians_ms(self) -> tuple[float, ...]:
        """Median of each round."""
        return tuple(statistics.median(samples) for samples in self.rounds_ms)

    @property
    def round_ratios(self) -> tuple[float, ...]:
        """The median of each round over the base's of the same round."""
        return tuple(mine / theirs for mine, theirs in zip(self.round_medians_ms, self.base_ms, strict=True))

    @property
    def _samples(self) -> list[float]:
        return [sample for samples in self.rounds_ms for sample in samples]


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """How a model's latency stands to the base's, from the medians of the same rounds; below 1 is faster."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def verdict(self) -> str:
        """Faster or slower only if nine rounds of ten agree, and only from five rounds on."""
        if self.rounds < _ROUNDS_FOR_A_VERDICT or self.low <= 1 <= self.high:
            return "undecided"
        return "faster" if self.high < 1 else "SLOWER"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured of one model, or of several that work together in one process.

    ``manifests`` has one for each file, or none where a file was not made by mtl-edge. ``file_bytes`` is the sum.
    ``metrics`` are there only where test data was given.
    """

    name: str
    paths: tuple[str, ...]
    file_bytes: int
    manifests: tuple[Manifest, ...]
    inputs: str
    cold_starts: tuple[ColdStart, ...]
    latencies: tuple[Latency, ...]
    metrics: dict[str, dict[str, float]] | None = None

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

    def latency(self, threads: int) -> Latency:
        """The latencies with this number of threads."""
        return next(latency for latency in self.latencies if latency.threads == threads)


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the benchmark; every result was measured in turn with ``base``."""

    machine: Machine
    base: str
    batch: int
    results: tuple[Result, ...]

    @property
    def threads(self) -> tuple[int, ...]:
        """The numbers of threads that were measured."""
        return tuple(latency.threads for latency in self.results[0].latencies)

    @property
    def base_result(self) -> Result:
        """What the others are compared to."""
        found = self.result(self.base)
        assert found is not None
        return found

    def ratio(self, result: Result, threads: int, base: Result | None = None) -> Ratio:
        """A model's latency over the base's, round by round, and the range that holds at least nine rounds of ten.

        Where another base is given, both are seen relative to the common one, so that it need not have been measured in
        the same rounds.
        """
        ratios = list(result.latency(threads).round_ratios)
        if base is not None:
            ratios = [mine / theirs for mine, theirs in zip(ratios, base.latency(threads).round_ratios, strict=False)]
        low, high = percentile(ratios, 5), percentile(ratios, 95)
        return Ratio(median=statistics.median(ratios), low=low, high=high, rounds=len(ratios))

    def result(self, name: str) -> Result | None:
        """What was measured under this name."""
        return next((result for result in self.results if result.name == name), None)


def percentile(values: list[float], share: float) -> float:
    """Nearest rank: the smallest value that at least ``share`` per cent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share / 100 * len(ordered)), 1) - 1]
