"""Tests of :mod:`mtl_edge.quantize.observe`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtl_edge.quantize.observe import BINS, Observer

VALUES = arrays(
    np.float32, st.integers(1, 50), elements=st.floats(-(2.0**20), 2.0**20, width=32, allow_subnormal=False)
)


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_no_value_is_lost_and_the_memory_is_bounded(batches: list[np.ndarray]) -> None:
    """Whatever arrives in whatever order, every value is in one bin, and there are not too many of those."""
    observer = Observer()
    for batch in batches:
        observer.update(batch)
    everything = np.concatenate(batches)
    assert observer.counts.sum() == everything.size
    assert len(observer.counts) <= BINS
    assert (observer.low, observer.high) == (everything.min(), everything.max())


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_each_bin_holds_what_lies_between_its_edges(batches: list[np.ndarray]) -> None:
    """The histogram that grew over the batches is the one that numpy makes of all of them with the same edges."""
    observer = Observer()
    for batch in batches:
        observer.update(batch)
    everything = np.concatenate(batches).astype(np.float64)
    positions = np.floor(everything / observer.width).astype(np.int64) - observer.first
    expected = np.bincount(positions, minlength=len(observer.counts))
    np.testing.assert_array_equal(observer.counts, expected)


def test_the_order_of_the_batches_does_not_matter() -> None:
    """Small values first or last: the same histogram."""
    small, large = np.linspace(-0.01, 0.02, 999, dtype=np.float32), np.linspace(-7, 90, 999, dtype=np.float32)
    one, other = Observer(), Observer()
    for observer, batches in ((one, (small, large)), (other, (large, small))):
        for batch in batches:
            observer.update(batch)
    assert (one.exponent, one.first) == (other.exponent, other.first)
    np.testing.assert_array_equal(one.counts, other.counts)


def test_a_large_batch_is_sampled_evenly() -> None:
    """The histogram of a sample has the shape of the whole; the ends are those of the whole."""
    values = np.random.default_rng(0).standard_normal(2_000_000).astype(np.float32)
    values[1_234_567] = 50.0
    observer = Observer()
    observer.update(values)
    assert observer.high == 50.0
    assert observer.counts.sum() < 40_000
    mean = (observer.centers * observer.counts).sum() / observer.counts.sum()
    assert mean == pytest.approx(0.0, abs=0.03)


def test_small_batches_are_sampled_as_much_as_large_ones() -> None:
    """Of the same values in four batches, the histogram counts as many as in one."""
    values = np.random.default_rng(0).standard_normal((32, 5000)).astype(np.float32)
    one, four = Observer(), Observer()
    one.update(values)
    for part in np.split(values, 4):
        four.update(part)
    assert four.counts.sum() == pytest.approx(one.counts.sum(), rel=0.2)
    assert one.counts.sum() < values.size / 4


def test_the_moving_average_forgets_an_early_outlier() -> None:
    """One strange first batch weighs less and less."""
    observer = Observer()
    observer.update(np.array([-100, 100], np.float32))
    for _ in range(50):
        observer.update(np.array([-1, 1], np.float32))
    assert observer.high == 100
    assert 1 < observer.average_high < 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(bad: float) -> None:
    """A range with NaN in it would silence a whole layer."""
    with pytest.raises(ValueError, match="finite"):
        Observer().update(np.array([1.0, bad], np.float32))


def test_nothing_but_zeros_is_one_bin() -> None:
    """A dead activation has a histogram too; so has one that comes to life late."""
    observer = Observer()
    observer.update(np.zeros(10, np.float32))
    observer.update(np.array([0, 3], np.float32))
    assert observer.counts.sum() == 12
    assert observer.counts[0 - observer.first] == 11
