"""How a benchmark measures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from mtl_edge.bench.bootstrap import BEYOND
from mtl_edge.bench.latency import Point, points

Scenario = Literal["latency", "single-stream", "offline", "server"]
"""What is asked: the median; the 90th percentile; the throughput; the rate of queries that a bound allows."""

SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)

_SINGLE_STREAM_SHARE = 99
_SOAK_ROUNDS = 20
_SOAK_TURN_S = 5.0
_SOAK_KEPT = 1000


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        threads: intra-op threads; everything is measured with each of them, and with each of the following.
        batches: sizes of symbolic first dimensions.
        dims: sizes of other symbolic dimensions, by name.
        rounds: each model has one turn per round, in random order.
        round_seconds: length of a turn, after the warm-up; at least, because ...
        round_runs: ... a turn has at least so many runs too.
        duration_s: rounds go on until so many seconds have passed at each point; of each turn, some samples are kept.
        cold_starts: fresh processes for load time and first run.
        memory_repeats: fresh processes for the memory, each with the runtime's arena on and with it off.
        scenario: what is asked of each model.
        bound_ms: what the latency of a server's queries may be ...
        bound_share: ... at this percentile.
        rate_per_s: the rate of queries that is tried; None looks for the highest that keeps the bound.
        data: the test samples, an ``.npz`` or a folder of ``.npy`` files, for the tasks' metrics of models that have a
            manifest.
        timeout_s: a process that does not answer for so long is stopped.
        memory_limit_bytes: a process that allocates more fails; None leaves to each nine tenths of what is free.
        keep_going: a model that fails is reported beside the others, instead of ending the benchmark.
    """

    threads: Sequence[int] = (1, 2)
    batches: Sequence[int] = (1,)
    dims: Mapping[str, Sequence[int]] = field(default_factory=dict)
    rounds: int = 10
    round_seconds: float = 0.2
    round_runs: int = 5
    duration_s: float = 0.0
    cold_starts: int = 5
    memory_repeats: int = 2
    scenario: Scenario = "latency"
    bound_ms: float = 0.0
    bound_share: float = 99
    rate_per_s: float | None = None
    data: Path | None = None
    timeout_s: float = 300
    memory_limit_bytes: int | None = None
    keep_going: bool = False

    @property
    def points(self) -> tuple[Point, ...]:
        """Every combination of threads, batch and dimensions."""
        return tuple(points(self.threads, self.batches, list(self.dims.items())))

    @property
    def least_runs(self) -> int:
        """Of a turn: a single stream is asked for its percentiles, so its samples must be able to tell them."""
        if self.scenario != "single-stream":
            return self.round_runs
        return max(self.round_runs, math.ceil(BEYOND / (1 - _SINGLE_STREAM_SHARE / 100) / self.rounds))

    @property
    def kept_samples(self) -> int | None:
        """How many samples of a turn are kept; None keeps all."""
        return _SOAK_KEPT if self.duration_s else None

    @property
    def server_seconds(self) -> float:
        """How long queries arrive at one rate, at least."""
        return max(self.rounds * self.round_seconds / 2, self.duration_s)

    def turn_seconds(self, models: int) -> float:
        """Length of a turn: a soak has long ones, but as many rounds as tell a drift."""
        return max(self.round_seconds, min(self.duration_s / models / _SOAK_ROUNDS, _SOAK_TURN_S))


DEFAULTS = Settings()
