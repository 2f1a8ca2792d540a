"""Tests of :mod:`mtl_edge.quantize.ranges`."""

import typing
from collections.abc import Callable

import numpy as np
import pytest

from mtl_edge.quantize.observe import Observer
from mtl_edge.quantize.ranges import Method, find_range, squared_error

METHODS = typing.get_args(Method)
RNG = np.random.default_rng(0)


def _observed(*batches: np.ndarray) -> Observer:
    observer = Observer()
    for batch in batches:
        observer.update(batch.astype(np.float32))
    return observer


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "values",
    [RNG.standard_normal(5000), np.abs(RNG.standard_normal(5000)), -RNG.random(500), np.zeros(9), np.full(9, 5.0)],
    ids=["both signs", "positive", "negative", "zeros", "constant"],
)
def test_every_range_holds_zero_and_lies_within_what_was_seen(method: Method, values: np.ndarray) -> None:
    """Padding with zeros must be exact, and bits beyond the data are wasted."""
    values = values.astype(np.float32)
    low, high = find_range(_observed(values), method)
    assert min(values.min(), 0) <= low <= 0 <= high <= max(values.max(), 0)


def test_minmax_covers_everything() -> None:
    """Not a value is clipped."""
    assert find_range(_observed(np.array([-3.0, 7.0]), np.array([-1.0, 9.5])), "minmax") == (-3.0, 9.5)


@pytest.mark.parametrize("method", ["percentile", "mse", "entropy", "auto"])
def test_one_outlier_does_not_cost_all_others_their_precision(method: Method) -> None:
    """Of a million values one lies a hundred times further out: the range is drawn in."""
    values = RNG.standard_normal(300_000)
    batches = np.split(values, 10)
    batches[3][7] = 40.0
    low, high = find_range(_observed(*batches), method)
    assert high < 35.0
    assert low == pytest.approx(values.min(), rel=0.5)


def test_mse_never_has_a_larger_error_than_minmax() -> None:
    """The full range is among the candidates."""
    for values in (RNG.standard_normal(20_000), RNG.standard_t(2, 20_000), RNG.random(20_000)):
        observer = _observed(values)
        assert squared_error(observer, *find_range(observer, "mse")) <= squared_error(
            observer, *find_range(observer, "minmax")
        )


@pytest.mark.parametrize("draw", [RNG.standard_normal, lambda n: RNG.standard_t(2, n), RNG.random, np.zeros])
def test_auto_takes_the_least_error_of_all(draw: Callable[[int], np.ndarray]) -> None:
    """Tensor by tensor, whatever its values are like."""
    observer = _observed(*np.split(np.asarray(draw(20_000)), 4))
    found = find_range(observer, "auto")
    for method in ("minmax", "percentile", "entropy", "mse"):
        low, high = find_range(observer, method)
        assert low == high or squared_error(observer, *found) <= squared_error(observer, low, high)


def test_the_error_from_the_histogram_is_that_of_the_values() -> None:
    """What is predicted from bins is what quantizing the values themselves gives, within a few per cent."""
    values = RNG.standard_normal(30_000).astype(np.float32)
    low, high = -2.5, 3.0
    scale = (high - low) / 255
    zero = np.round(-low / scale)
    found = (np.clip(np.round(values / scale) + zero, 0, 255) - zero) * scale
    assert squared_error(_observed(values), low, high) == pytest.approx(((found - values) ** 2).mean(), rel=0.05)
