"""The rate that is found is the highest that keeps the bound."""

import time
from typing import Any

import pytest

from mtl_edge.bench.arrivals import serve
from mtl_edge.bench.server import Server, Trial, find_rate
from mtl_edge.bench.settings import Settings

SETTINGS = Settings(scenario="server", bound_ms=10, bound_share=90)


def test_the_rate_found_is_at_the_edge_of_the_bound() -> None:
    """A server that keeps 10 ms up to 90 queries a second, and could answer 128 if they came one after the other."""
    asked: list[float] = []

    def ask(what: str, *, rate: float, least: int, **rest: Any) -> list[float]:
        assert what == "serve"
        asked.append(rate)
        return [2.0 if rate <= 90 else 50.0] * least

    trials = find_rate(ask, 128.0, SETTINGS)
    server = Server(threads=1, bound_ms=10, share=90, trials=trials)
    assert server.highest_rate_per_s == pytest.approx(90, abs=1)
    assert len(asked) == 7


def test_a_rate_that_was_asked_for_is_the_only_one_tried() -> None:
    """It keeps the bound, or not."""
    settings = Settings(scenario="server", bound_ms=10, bound_share=90, rate_per_s=5.0)
    (trial,) = find_rate(lambda what, **rest: [3.0] * 100, 128.0, settings)
    assert Server(threads=1, bound_ms=10, share=90, trials=(trial,)).highest_rate_per_s == 5.0


def test_queries_too_few_for_the_percentile_keep_nothing() -> None:
    """A trial that was given up has no p90."""
    trial = Trial(rate_per_s=5.0, latencies_ms=(1.0,) * 99)
    assert trial.percentile_ms(90) is None
    assert Server(threads=1, bound_ms=10, share=90, trials=(trial,)).highest_rate_per_s is None


def test_a_lower_rate_that_breaks_the_bound_makes_higher_ones_worthless() -> None:
    """What kept it by luck is not reported."""
    trials = tuple(
        Trial(rate_per_s=rate, latencies_ms=(latency,) * 100) for rate, latency in ((40, 1.0), (10, 1.0), (20, 99.0))
    )
    assert Server(threads=1, bound_ms=10, share=90, trials=trials).highest_rate_per_s == 10


def test_a_query_waits_for_those_before_it() -> None:
    """At twenty times the rate that can be answered, each takes longer than the one before; then it is given up."""
    latencies = serve(lambda: time.sleep(0.002), rate=10_000, seconds=5, least=1000, give_up_ms=40)
    assert len(latencies) < 1000
    assert latencies == sorted(latencies)
    assert latencies[-1] > 40


def test_queries_come_at_the_rate_for_so_long_and_so_many() -> None:
    """A Poisson process: 200 a second for a tenth of a second at least, 40 queries at least."""
    started = time.perf_counter()
    latencies = serve(lambda: None, rate=200, seconds=0.1, least=40, give_up_ms=1e6)
    assert len(latencies) >= 40
    assert time.perf_counter() - started > 0.1
