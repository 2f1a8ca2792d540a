"""Intervals are those of a bootstrap over rounds, and percentiles only what the samples support."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_edge.bench import bootstrap
from mtl_edge.bench.bootstrap import median_interval, percentile, ratio_interval, supported
from mtl_edge.errors import BenchError

rounds = st.lists(st.lists(st.floats(0.001, 1000), min_size=1, max_size=20), min_size=1, max_size=8)


@given(rounds)
def test_the_median_interval_is_that_of_whole_rounds_drawn_again(found: list[list[float]]) -> None:
    """The same as drawing rounds, pooling their samples and taking the nearest rank, one draw after the other."""
    medians = [
        percentile([sample for index in draw for sample in found[index]], 50) for draw in bootstrap._draws(len(found))
    ]
    assert median_interval(found) == pytest.approx(bootstrap._interval(np.array(medians)))


def test_the_median_interval_of_many_samples_is_near_the_exact_one() -> None:
    """Of ten thousand samples, the medians are looked for among two thousand."""
    chance = np.random.default_rng(0)
    found = [np.sort(chance.normal(10 + shift, 1, 2000)).tolist() for shift in (0, 0.1, 0.2, 0.3, 0.4)]
    low, high = median_interval(found)
    assert 9.9 < low < 10.2 < high < 10.5


def test_rounds_that_agree_make_a_narrow_interval_however_few_samples_they_have() -> None:
    """It is the rounds that differ or not."""
    assert median_interval([[1.0, 2.0, 3.0]] * 6) == (2.0, 2.0)
    low, high = median_interval([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]] * 3)
    assert low < 3 < 4 < high


def test_no_samples_have_no_interval() -> None:
    """The message says what is missing."""
    with pytest.raises(BenchError, match="at least one, found none"):
        median_interval([])


def test_a_model_compared_with_itself_is_rarely_called_different() -> None:
    """In at most 1 of 25 comparisons, with heavy tails."""
    chance = np.random.default_rng(1)
    missed = 0
    for _ in range(200):
        low, high = ratio_interval(np.exp(0.02 * chance.standard_t(3, 10)).tolist())
        missed += not low <= 1 <= high
    assert missed <= 8


@pytest.mark.parametrize(
    ("count", "share", "enough"),
    [(1, 50, True), (0, 50, False), (99, 90, False), (100, 90, True), (999, 99, False), (1000, 99, True)],
)
def test_a_percentile_needs_ten_samples_above_it(count: int, share: float, enough: bool) -> None:
    """p90 from 100, p99 from 1000; the median always."""
    assert supported(count, share) == enough
