"""Tests of :mod:`mtl_edge.tasks.regression`."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
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
def test_metrics_agree_with_sklearn(sample: tuple[np.ndarray, np.ndarray]) -> None:
    """MAE, MSE and R² in the target's own unit."""
    outputs, labels = sample
    assume(labels.std() > 1e-2)
    exact, predicted = labels.astype(np.float64), outputs[:, 0].astype(np.float64)
    expected = {
        "mae": mean_absolute_error(exact, predicted),
        "mse": mean_squared_error(exact, predicted),
        "r2": r2_score(exact, predicted),
    }
    assert TASK.measure(TASK.decode(outputs), labels) == pytest.approx(expected, rel=1e-3, abs=1e-9)


def test_metrics_of_whole_number_labels_agree_with_sklearn() -> None:
    """Unsigned labels do not wrap around where a prediction is too small."""
    outputs, labels = np.array([[0.5], [3.0], [250.0]], np.float32), np.array([1, 2, 255], np.uint8)
    expected = r2_score(labels, outputs[:, 0])
    found = TASK.measure(TASK.decode(outputs), labels)
    assert found == pytest.approx({"mae": 6.5 / 3, "mse": 26.25 / 3, "r2": expected})


def test_a_perfect_prediction_has_no_error_and_explains_all() -> None:
    """MAE 0, MSE 0, R² 1."""
    labels = np.array([1.0, 2.0, 4.0], np.float32)
    assert TASK.measure(TASK.decode(labels[:, None]), labels) == {"mae": 0.0, "mse": 0.0, "r2": 1.0}


def test_metrics_are_named_as_they_are_measured() -> None:
    """Reports find every declared metric in what is measured; errors are better when lower."""
    found = TASK.measure(np.zeros((2, 1), np.float32), np.array([0.0, 1.0]))
    assert list(found) == [metric.name for metric in TASK.metrics]
    assert [metric.higher_is_better for metric in TASK.metrics] == [False, False, True]


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


def test_loss_is_the_mean_square_in_standard_deviations() -> None:
    """Errors of 2 and 4 with a deviation of 2: (1 + 4) / 2."""
    outputs, labels = torch.tensor([[3.0], [1.0]]), torch.tensor([1.0, 5.0])
    assert TASK.losses(outputs, labels, TargetStatistics(mean=7.0, std=2.0)).item() == pytest.approx(2.5)


@given(_outputs_and_labels(), st.floats(0.125, 1000, width=32))
def test_loss_does_not_depend_on_the_unit(sample: tuple[np.ndarray, np.ndarray], factor: float) -> None:
    """Metres or millimetres: with its scale, a target pulls equally hard."""
    outputs, labels = map(torch.from_numpy, sample)
    loss = TASK.losses(outputs, labels, TargetStatistics(std=10.0))
    scaled = TASK.losses(outputs * factor, labels * factor, TargetStatistics(std=10.0 * factor))
    assert scaled.item() == pytest.approx(loss.item(), rel=1e-3, abs=1e-6)


@given(npst.arrays(np.float32, (5, 1), elements=_NUMBERS), st.floats(0.5, 10))
def test_distillation_loss_of_equal_outputs_is_zero(values: np.ndarray, temperature: float) -> None:
    """A student that says what its teacher says has nothing to learn."""
    outputs = torch.from_numpy(values)
    assert TASK.distillation_losses(outputs, outputs.clone(), TargetStatistics(std=3.0), temperature).item() == 0


def test_distillation_loss_is_the_mean_square_in_standard_deviations() -> None:
    """Distances of 2 and 4 with a deviation of 2: (1 + 4) / 2, whatever the temperature."""
    student, teacher = torch.tensor([[3.0], [1.0]]), torch.tensor([[1.0], [5.0]])
    losses = [TASK.distillation_losses(student, teacher, TargetStatistics(std=2.0), t).item() for t in (1.0, 4.0)]
    assert losses == pytest.approx([2.5, 2.5])
