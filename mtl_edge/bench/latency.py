"""Latencies: raw samples by round, and what follows from them."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from mtl_edge.bench.bootstrap import median_interval, percentile, ratio_interval, supported

_ROUNDS_FOR_A_VERDICT = 5


@dataclass(frozen=True)
class Point:
    """A combination of what is swept: intra-op threads, size of the first axis, sizes of others by name."""

    threads: int
    batch: int = 1
    dims: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        sizes = "".join(f", {name} {size}" for name, size in self.dims)
        return f"{self.threads} thread{'s' * (self.threads > 1)}, batch {self.batch}{sizes}"


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies of one model at one point: one list of samples per round. What follows has one value per round.

    Attributes:
        threads: intra-op threads.
        batch: size of a symbolic or unknown first axis.
        dims: sizes of other symbolic axes.
        rounds_ms: the samples. Each is one run, as a caller from Python sees it; nothing is taken off.
        base_ms: the base's median in the same rounds.
        runs: how many runs a round had, where fewer samples than that were kept, evenly picked; else empty.
        call_ms: median of a model that does nothing, in the same process and loop: what of a sample is not the model's.
        warm_up_runs: runs before the first sample, until they became no faster.
        other_load: how many cores were busy with other work than this.
        energy_j: what the processor's package took while the samples were taken; empty where it cannot be read.
        resident_bytes: resident memory of the process after the round.
    """

    threads: int
    rounds_ms: tuple[tuple[float, ...], ...]
    base_ms: tuple[float, ...]
    batch: int = 1
    dims: dict[str, int] = {}
    runs: tuple[int, ...] = ()
    call_ms: tuple[float, ...] = ()
    warm_up_runs: tuple[int, ...] = ()
    other_load: tuple[float, ...] = ()
    energy_j: tuple[float, ...] = ()
    resident_bytes: tuple[int, ...] = ()

    @property
    def point(self) -> Point:
        """Where this was measured."""
        return Point(self.threads, self.batch, tuple(self.dims.items()))

    @property
    def samples_ms(self) -> list[float]:
        """All samples, in the order in which they were taken."""
        return [sample for samples in self.rounds_ms for sample in samples]

    @property
    def p50_ms(self) -> float:
        """Median over all samples."""
        return percentile(self.samples_ms, 50)

    @property
    def p90_ms(self) -> float | None:
        """90th percentile over all samples; None where there are fewer than 100."""
        return self.percentile_ms(90)

    @property
    def p99_ms(self) -> float | None:
        """99th percentile over all samples; None where there are fewer than 1000."""
        return self.percentile_ms(99)

    @property
    def p50_interval_ms(self) -> tuple[float, float]:
        """99 % confidence interval of the median, by the bootstrap over rounds."""
        return median_interval(self.rounds_ms)

    @property
    def throughput_per_s(self) -> float:
        """Samples of data per second when one run follows the other."""
        return self.batch * 1e3 / statistics.fmean(self.samples_ms)

    @property
    def call_p50_ms(self) -> float | None:
        """What a run costs with a model that does nothing; None where that was not measured."""
        return statistics.median(self.call_ms) if self.call_ms else None

    @property
    def energy_per_run_mj(self) -> float | None:
        """Millijoules of the processor's package per run, idle power included; None where it cannot be read."""
        runs = self.runs or tuple(map(len, self.rounds_ms))
        return sum(self.energy_j) / sum(runs) * 1e3 if self.energy_j else None

    @property
    def round_medians_ms(self) -> tuple[float, ...]:
        """Median of each round."""
        return tuple(statistics.median(samples) for samples in self.rounds_ms)

    @property
    def round_ratios(self) -> tuple[float, ...]:
        """The median of each round over the base's of the same round."""
        return tuple(mine / theirs for mine, theirs in zip(self.round_medians_ms, self.base_ms, strict=True))

    def percentile_ms(self, share: float) -> float | None:
        """A percentile over all samples by nearest rank; None where fewer than ten samples would lie above it."""
        samples = self.samples_ms
        return percentile(samples, share) if supported(len(samples), share) else None


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """How a model's latency stands to the base's, from the medians of the same rounds; below 1 is faster.

    ``low`` and ``high`` are the 99 % confidence interval of the median, by the bootstrap over rounds.
    """

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, ratios: Sequence[float]) -> "Ratio":
        """The median of the rounds' ratios with its interval."""
        low, high = ratio_interval(ratios)
        return cls(median=statistics.median(ratios), low=low, high=high, rounds=len(ratios))

    @property
    def verdict(self) -> str:
        """Faster or slower only if the whole interval is, and only from five rounds on."""
        if self.rounds < _ROUNDS_FOR_A_VERDICT or self.low <= 1 <= self.high:
            return "no significant difference"
        return "faster" if self.high < 1 else "SLOWER"


def points(
    threads: Sequence[int], batches: Sequence[int], dims: Sequence[tuple[str, Sequence[int]]]
) -> Iterator[Point]:
    """Every combination, threads outermost."""
    sizes: list[tuple[tuple[str, int], ...]] = [()]
    for name, choices in dims:
        sizes = [(*before, (name, size)) for before in sizes for size in choices]
    for count in threads:
        for batch in batches:
            for chosen in sizes:
                yield Point(count, batch, chosen)
