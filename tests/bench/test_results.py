"""Statistics follow from raw samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_edge.bench.bootstrap import percentile
from mtl_edge.bench.latency import Latency, Ratio

samples = st.lists(st.floats(0.001, 1000), min_size=1, max_size=50)


@given(samples, st.floats(0.1, 100))
def test_a_percentile_is_the_nearest_rank(values: list[float], share: float) -> None:
    """One of the values, the one that numpy's inverted_cdf picks."""
    expected = np.percentile(values, share, method="inverted_cdf")
    assert percentile(values, share) == pytest.approx(expected)


def test_percentiles_are_over_all_rounds() -> None:
    """p50 of ten samples in two rounds; p90 of ten times as many."""
    latency = Latency(threads=1, rounds_ms=((1.0, 2.0, 3.0, 4.0, 5.0), (6.0, 7.0, 8.0, 9.0, 10.0)), base_ms=(6.0, 4.0))
    assert latency.p50_ms == 5.0
    ten_times = tuple(samples * 10 for samples in latency.rounds_ms)
    assert Latency(threads=1, rounds_ms=ten_times, base_ms=(6.0, 4.0)).p90_ms == 9.0
    assert latency.round_medians_ms == (3.0, 8.0)
    assert latency.round_ratios == (0.5, 2.0)


@pytest.mark.parametrize(
    ("low", "high", "rounds", "verdict"),
    [
        (0.8, 0.9, 10, "faster"),
        (1.1, 1.2, 10, "SLOWER"),
        (0.9, 1.1, 10, "no significant difference"),
        (1.0, 1.0, 10, "no significant difference"),
        (0.1, 0.2, 4, "no significant difference"),
    ],
)
def test_a_verdict_needs_agreeing_rounds_and_enough_of_them(low: float, high: float, rounds: int, verdict: str) -> None:
    """Rounds that disagree, or too few, decide nothing."""
    assert Ratio(median=(low + high) / 2, low=low, high=high, rounds=rounds).verdict == verdict
