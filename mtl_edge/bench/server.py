"""Queries that come when they want: how many a second can be answered within a bound?"""

import msgspec

from mtl_edge.bench.bootstrap import percentile, supported
from mtl_edge.bench.latency import Point


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """Poisson arrivals at one rate; a latency is from a query's arrival to its answer, waiting included."""

    rate_per_s: float
    latencies_ms: tuple[float, ...]

    def percentile_ms(self, share: float) -> float | None:
        """A percentile by nearest rank; None where the queries are too few to tell."""
        return percentile(self.latencies_ms, share) if supported(len(self.latencies_ms), share) else None


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one point that answers one query at a time, first come, first served.

    A rate keeps the bound if the percentile ``share`` of its latencies is not above ``bound_ms``.
    """

    threads: int
    batch: int = 1
    dims: dict[str, int] = {}
    bound_ms: float
    share: float
    trials: tuple[Trial, ...]

    @property
    def point(self) -> Point:
        """Where this was measured."""
        return Point(self.threads, self.batch, tuple(self.dims.items()))

    def keeps(self, trial: Trial) -> bool:
        """Whether a trial's latencies are within the bound."""
        found = trial.percentile_ms(self.share)
        return found is not None and found <= self.bound_ms

    @property
    def highest_rate_per_s(self) -> float | None:
        """The highest rate that keeps the bound while no lower one breaks it; None if none does."""
        highest = None
        for trial in sorted(self.trials, key=lambda trial: trial.rate_per_s):
            if not self.keeps(trial):
                break
            highest = trial.rate_per_s
        return highest
