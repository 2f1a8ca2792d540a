"""Tests of :mod:`mtl_edge.tasks.multiclass`."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from mtl_edge.tasks import Multiclass, TargetStatistics

TASK = Multiclass(name="kind", target="label", classes=4)
UNIT = TargetStatistics()
_LOGITS = st.floats(-20, 20, width=32)


@st.composite
def _outputs_and_labels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    count = draw(st.integers(1, 30))
    outputs = draw(npst.arrays(np.float32, (count, TASK.classes), elements=_LOGITS))
    return outputs, draw(npst.arrays(np.int64, count, elements=st.integers(0, TASK.classes - 1)))


@given(_outputs_and_labels())
def test_metrics_agree_with_sklearn(sample: tuple[np.ndarray, np.ndarray]) -> None:
    """Accuracy, and recall averaged over the classes that occur."""
    outputs, labels = sample
    found = TASK.measure(TASK.decode(outputs), labels)
    predicted = outputs.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # sklearn remarks on predicted classes that do not occur
        recall = balanced_accuracy_score(labels, predicted)
    assert found == pytest.approx({"accuracy": accuracy_score(labels, predicted), "macro_recall": recall})


def test_metrics_are_named_as_they_are_measured() -> None:
    """Reports find every declared metric in what is measured, the first one first."""
    found = TASK.measure(np.eye(4, dtype=np.float32), np.arange(4))
    assert list(found) == [metric.name for metric in TASK.metrics]
    assert all(metric.higher_is_better and metric.unit == "share" for metric in TASK.metrics)


def test_macro_recall_weighs_rare_classes_like_frequent_ones() -> None:
    """Nine of class 0 right and one of class 1 wrong: accuracy 0.9, macro recall 0.5."""
    outputs = np.tile(np.array([1, 0, 0, 0], np.float32), (10, 1))
    labels = np.array([0] * 9 + [1])
    assert TASK.measure(TASK.decode(outputs), labels) == pytest.approx({"accuracy": 0.9, "macro_recall": 0.5})


def test_width_is_one_logit_per_class() -> None:
    """The network's output has as many values as there are classes."""
    assert TASK.width == 4


@given(st.lists(st.integers(0, 3), min_size=1), st.sampled_from([np.uint8, np.int32, np.int64, np.float32]))
def test_labels_within_the_range_have_no_fault(labels: list[int], dtype: type[np.number]) -> None:
    """Whole numbers from 0 to classes - 1 are fine in any numeric type."""
    assert TASK.find_fault(np.array(labels, dtype)) is None


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        ([0, 4, 1, 7], "classes = 4 allows the labels 0 to 3, found 2 outside, the first is 4 at index 1"),
        ([0, 1, -1], "classes = 4 allows the labels 0 to 3, found 1 outside, the first is -1 at index 2"),
        ([0.0, 1.5, 2.5], "classes must be whole numbers, found 1.5 at index 1"),
    ],
)
def test_a_label_that_is_no_class_is_named_with_its_index(labels: list[float], fault: str) -> None:
    """The fault says the rule, the value and where it first occurs."""
    assert TASK.find_fault(np.array(labels)) == fault


def test_logits_have_no_unit() -> None:
    """Whatever the labels are, the head undoes nothing."""
    assert TASK.fit(np.array([0, 3, 3])) == TargetStatistics(mean=0.0, std=1.0)


@given(_outputs_and_labels())
def test_loss_is_the_mean_negative_log_probability_of_the_label(sample: tuple[np.ndarray, np.ndarray]) -> None:
    """Cross-entropy, computed by hand in float64."""
    outputs, labels = sample
    exact = outputs.astype(np.float64)
    log_sums = np.log(np.exp(exact).sum(axis=1))
    expected = (log_sums - exact[np.arange(len(labels)), labels]).mean()
    found = TASK.losses(torch.from_numpy(outputs), torch.from_numpy(labels), UNIT)
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_loss_takes_labels_of_any_integer_type() -> None:
    """Data sets hold labels as uint8 as often as int64."""
    outputs = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    losses = {TASK.losses(outputs, torch.tensor([2], dtype=kind), UNIT).item() for kind in (torch.uint8, torch.int64)}
    assert len(losses) == 1


@given(npst.arrays(np.float32, (5, 4), elements=_LOGITS), st.floats(0.5, 10))
def test_distillation_loss_of_equal_outputs_is_zero(logits: np.ndarray, temperature: float) -> None:
    """A student that says what its teacher says has nothing to learn."""
    outputs = torch.from_numpy(logits)
    assert TASK.distillation_losses(outputs, outputs.clone(), UNIT, temperature).item() == pytest.approx(0, abs=1e-5)


@given(
    npst.arrays(np.float32, (5, 4), elements=_LOGITS),
    npst.arrays(np.float32, (5, 4), elements=_LOGITS),
    st.floats(1, 5),
)
def test_distillation_loss_is_the_softened_divergence_times_t_squared(
    student: np.ndarray, teacher: np.ndarray, temperature: float
) -> None:
    """KL(teacher || student) of the classes at that temperature, by hand in float64."""

    def soften(logits: np.ndarray) -> np.ndarray:
        powers = np.exp(logits.astype(np.float64) / temperature)
        return powers / powers.sum(axis=1, keepdims=True)

    taught = soften(teacher)
    expected = (taught * np.log(taught / soften(student))).sum(axis=1).mean() * temperature**2
    found = TASK.distillation_losses(torch.from_numpy(student), torch.from_numpy(teacher), UNIT, temperature)
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-4)
