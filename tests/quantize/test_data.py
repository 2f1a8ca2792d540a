"""Tests of :mod:`mtl_edge.quantize.data`."""

import numpy as np
import pytest

from mtl_edge.quantize.data import CalibrationData


@pytest.mark.parametrize(
    ("total", "batch", "most", "found"),
    [
        (512, 32, 128, 128),
        (100, 32, 512, 100),
        (20, 32, 128, 20),
        (512, 32, 8, 32),
        (24, 8, 10, 8),
        (2500, 64, 128, 64),
    ],
)
def test_few_samples_are_spread_over_all(total: int, batch: int, most: int, found: int) -> None:
    """At most as many as asked for, or one batch; in whole batches where there are several, evenly from end to end."""
    every = CalibrationData({"x": np.arange(total)}, {}, np.arange(total), batch, ())
    few = every.spread(most)
    assert len(few.positions) == found
    assert found <= max(most, batch)
    steps = set(np.diff(few.positions).tolist())
    assert len(steps) == 1
    assert sum(len(rows["x"]) for rows in few) == found
