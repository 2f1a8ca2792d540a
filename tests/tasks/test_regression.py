"""Tests of :mod:`mtl_edge.tasks.regression`."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn.preprocessing import StandardScaler

from mtl_edge.tasks import Regression, TargetStatistics

TASK = Regression(name="size", target="area")
_NUMBERS = st.floats(-1000, 1000, width=32)


@st.composite
def _outputs_and_labels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    count = draw(st.integers(2, 30))
    outputs = draw(npst.arrays(np.float32, (count, 1), elements=_NUMBERS))
    return outputs, draw(npst.arrays(np.float32, count, elements=_NUMBERS))


@given(_outputs_and_labels())
def test_metrics_are_those_of_the_definitions(sample: tuple[np.ndarray, np.ndarray]) -> None:
    """MAE, MSE and R² in the target's own unit, by hand in float64."""
    outputs, labels = sample
    assume(labels.std() > 1e-2)
    exact = labels.astype(np.float64)
    errors = outputs[:, 0] - exact
    expected = {
        "mae": abs(errors).mean(),
        "mse": (errors**2).mean(),
        "r2": 1 - (errors**2).sum() / ((exact - exact.mean()) ** 2).sum(),
    }
    assert TASK.measure(TASK.decode(outputs), labels) == pytest.approx(expected, rel=1e-3, abs=1e-9)


def test_unsigned_labels_do_not_wrap_around() -> None:
    """Nor where a prediction is too small."""
    outputs, labels = np.array([[0.5], [3.0], [250.0]], np.float32), np.array([1, 2, 255], np.uint8)
    expected = {"mae": 6.5 / 3, "mse": 26.25 / 3, "r2": 1 - 26.25 / (85**2 + 84**2 + 169**2)}
    assert TASK.measure(TASK.decode(outputs), labels) == pytest.approx(expected)


def test_a_perfect_prediction_has_no_error_and_explains_all() -> None:
    """MAE 0, MSE 0, R² 1."""
    labels = np.array([1.0, 2.0, 4.0], np.float32)
    assert TASK.measure(TASK.decode(labels[:, None]), labels) == {"mae": 0.0, "mse": 0.0, "r2": 1.0}


def test_width_is_one_number() -> None:
    """The network's output has one value."""
    assert TASK.width == 1


@given(npst.arrays(np.float64, st.integers(2, 20), elements=st.floats(-1e6, 1e6)))
def test_only_labels_that_never_change_are_a_fault(labels: np.ndarray) -> None:
    """There is nothing to learn where every label is the same number; all else is allowed."""
    fault = TASK.find_fault(labels)
    assert (fault is not None) == (len(np.unique(labels)) == 1)
    assert fault is None or f"labels must differ, found {labels[0]:g} for each of the {len(labels)}" in fault


def test_r2_of_constant_labels_is_that_of_sklearn() -> None:
    """One where they are met exactly, zero elsewhere; never a division by zero."""
    labels = np.full(3, 2.0)
    assert TASK.measure(TASK.decode(np.full((3, 1), 2.0, np.float32)), labels)["r2"] == 1.0
    assert TASK.measure(TASK.decode(np.zeros((3, 1), np.float32)), labels)["r2"] == 0.0
    assert TASK.measure(TASK.decode(np.full((1, 1), 2.0, np.float32)), labels[:1])["r2"] == 1.0
    assert TASK.measure(TASK.decode(np.zeros((1, 1), np.float32)), labels[:1])["r2"] == 0.0


def test_float16_labels_do_not_overflow() -> None:
    """Statistics are computed in float64 whatever the labels' dtype."""
    labels = np.array([60000, -60000], np.float16)
    assert np.isfinite(TASK.fit(labels).std)
    assert np.isfinite(TASK.measure(TASK.decode(np.zeros((2, 1), np.float32)), labels)["mse"])


@given(npst.arrays(np.float32, st.integers(2, 20), elements=_NUMBERS))
def test_standardisation_is_that_of_sklearn(labels: np.ndarray) -> None:
    """Mean and population standard deviation of the labels."""
    assume(labels.std() > 1e-2)
    scaler = StandardScaler().fit(labels[:, None].astype(np.float64))
    found = TASK.fit(labels)
    assert found.mean == pytest.approx(scaler.mean_[0], rel=1e-3, abs=1e-3)
    assert found.std == pytest.approx(scaler.scale_[0], rel=1e-3)


def test_loss_is_the_square_in_standard_deviations() -> None:
    """Errors of 2 and 4 with a deviation of 2: 1 and 4."""
    outputs, labels = torch.tensor([[3.0], [1.0]]), torch.tensor([1.0, 5.0])
    assert TASK.losses(outputs, labels, TargetStatistics(mean=7.0, std=2.0)).tolist() == [1.0, 4.0]


@given(_outputs_and_labels(), st.floats(0.125, 1000, width=32))
def test_loss_does_not_depend_on_the_unit(sample: tuple[np.ndarray, np.ndarray], factor: float) -> None:
    """Metres or millimetres: with its scale, a target pulls equally hard."""
    outputs, labels = map(torch.from_numpy, sample)
    losses = TASK.losses(outputs, labels, TargetStatistics(std=10.0))
    scaled = TASK.losses(outputs * factor, labels * factor, TargetStatistics(std=10.0 * factor))
    torch.testing.assert_close(scaled, losses, rtol=1e-3, atol=1e-6)


def test_distillation_loss_is_the_square_in_standard_deviations() -> None:
    """Distances of 2 and 4 with a deviation of 2: 1 and 4, whatever the temperature."""
    student, teacher = torch.tensor([[3.0], [1.0]]), torch.tensor([[1.0], [5.0]])
    for temperature in (1.0, 4.0):
        losses = TASK.distillation_losses(student, teacher, TargetStatistics(std=2.0), temperature)
        assert losses.tolist() == [1.0, 4.0]


def test_whole_numbers_below_zero_are_labels() -> None:
    """-1 is a number like any other; what nobody gave is NaN."""
    labels = np.array([-1, -1, 2])
    assert TASK.find_fault(labels) is None
    assert TASK.fit(labels).mean == 0
    assert TASK.measure(np.zeros(3, np.float32), labels)["mae"] == pytest.approx(4 / 3)
