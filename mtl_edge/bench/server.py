"""Queries that come when they want: how many a second can be answered within a bound?"""

import math
from collections.abc import Callable

import msgspec

from mtl_edge.bench.bootstrap import BEYOND, percentile, supported
from mtl_edge.bench.latency import Point
from mtl_edge.bench.settings import Settings

_TRIALS = 7
_HOPELESS = 20
_HOPELESS_MS = 1000.0
"""A query that took so many times the bound, and so long, shows that the queue only grows."""


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


def find_rate(ask: Callable[..., list[float]], capacity: float, settings: Settings) -> tuple[Trial, ...]:
    """Try the rate that was asked for; or look for the highest that keeps the bound.

    Args:
        ask: asks the measuring process.
        capacity: queries per second if one follows the other; no higher rate can be kept.
        settings: the bound and the rate.
    """

    def trial(rate: float) -> Trial:
        latencies = ask(
            "serve",
            rate=rate,
            seconds=settings.server_seconds,
            least=math.ceil(BEYOND / (1 - settings.bound_share / 100)),
            give_up_ms=max(_HOPELESS * settings.bound_ms, _HOPELESS_MS),
        )
        return Trial(rate_per_s=rate, latencies_ms=tuple(latencies))

    if settings.rate_per_s is not None:
        return (trial(settings.rate_per_s),)
    low, high = 0.0, capacity
    trials: list[Trial] = []
    for _ in range(_TRIALS):
        trials.append(trial((low + high) / 2))
        found = trials[-1].percentile_ms(settings.bound_share)
        if found is not None and found <= settings.bound_ms:
            low = trials[-1].rate_per_s
        else:
            high = trials[-1].rate_per_s
    return tuple(trials)
