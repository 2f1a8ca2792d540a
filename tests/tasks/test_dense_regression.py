"""Tests of :mod:`mtl_edge.tasks.dense_regression`."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mtl_edge.tasks import DenseRegression, Regression

TASK = DenseRegression(name="depth", target="depth")
_SHAPE = (3, 4, 5)
_NUMBERS = st.floats(-1000, 1000, width=16)


@given(
    npst.arrays(np.float32, _SHAPE, elements=_NUMBERS),
    npst.arrays(np.float32, _SHAPE, elements=st.one_of(_NUMBERS, st.just(np.nan))).filter(
        lambda labels: not np.isnan(labels).all()
    ),
)
def test_metrics_are_those_of_the_definitions(answers: np.ndarray, labels: np.ndarray) -> None:
    """Over the pixels that were given, and for the relative error over those whose label is not 0."""
    errors = abs(answers.astype(np.float64) - labels)[~np.isnan(labels)]
    known = abs(labels[~np.isnan(labels)].astype(np.float64))
    relative = errors[known > 0] / known[known > 0]
    expected = {
        "mae": errors.mean(),
        "relative_error": relative.mean() if relative.size else 0.0,
        "rmse": np.sqrt((errors**2).mean()),
    }
    assert TASK.measure(answers, labels) == pytest.approx(expected)


def test_statistics_are_those_of_all_given_pixels() -> None:
    """Mean and population standard deviation."""
    labels = np.array([[[1.0, np.nan], [3.0, 5.0]], [[np.nan, np.nan], [7.0, 9.0]]], np.float16)
    found = TASK.fit(labels)
    assert (found.mean, found.std) == pytest.approx((5.0, np.sqrt(8.0)))


def test_a_pixel_that_is_infinite_is_named_with_its_place() -> None:
    """Sample, row and column."""
    labels = np.zeros(_SHAPE)
    labels[1, 0, 2] = -np.inf
    expected = "labels must be finite (NaN: no label), found inf at index (1, 0, 2)"
    assert TASK.find_fault(labels) == expected


def test_maps_of_one_number_are_a_fault() -> None:
    """There is nothing to learn."""
    assert TASK.find_fault(np.full(_SHAPE, 2.0)) == "labels must differ, found 2 for each of the 60"


def test_losses_and_distances_are_those_of_a_regression_for_each_pixel() -> None:
    """A map is many samples."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(3, 1, 4, 5, generator=generator) for _ in range(2))
    labels = torch.randn(_SHAPE, generator=generator)
    labels[0, 0, 0] = torch.nan
    flat, statistics = Regression(name="size", target="area"), TASK.fit(labels.numpy())
    pixels = [maps.reshape(-1, 1) for maps in (student, teacher)]
    torch.testing.assert_close(
        TASK.losses(student, labels, statistics), flat.losses(pixels[0], labels.flatten(), statistics)
    )
    torch.testing.assert_close(
        TASK.distillation_losses(student, teacher, statistics, 2.0),
        flat.distillation_losses(*pixels, statistics, 2.0),
    )
