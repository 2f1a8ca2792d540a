"""Tests of :mod:`mtl_edge.tasks.multiclass`."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn.utils.class_weight import compute_class_weight

from mtl_edge.tasks import Multiclass, TargetStatistics

TASK = Multiclass(name="kind", target="label", classes=4)
BALANCED = Multiclass(name="kind", target="label", classes=4, class_weights="balanced")
UNIT = TargetStatistics()
ALLOWED = "classes = 4 allows the labels 0 to 3 (-1: no label)"
_LOGITS = st.floats(-20, 20, width=32)


@st.composite
def _outputs_and_labels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    count = draw(st.integers(1, 30))
    outputs = draw(npst.arrays(np.float32, (count, TASK.classes), elements=_LOGITS))
    return outputs, draw(npst.arrays(np.int64, count, elements=st.integers(0, TASK.classes - 1)))


@given(_outputs_and_labels())
def test_metrics_are_those_of_the_definitions(sample: tuple[np.ndarray, np.ndarray]) -> None:
    """Accuracy, and recall and F1 averaged over the classes that occur among the labels, counted by hand."""
    outputs, labels = sample
    predicted = outputs.argmax(axis=1)
    recalls, f1s = [], []
    for label in set(labels.tolist()):
        right = int(((labels == label) & (predicted == label)).sum())
        recalls.append(right / (labels == label).sum())
        f1s.append(2 * right / ((labels == label).sum() + (predicted == label).sum()))
    expected = {
        "accuracy": np.mean(predicted == labels),
        "macro_recall": np.mean(recalls),
        "macro_f1": np.mean(f1s),
    }
    assert TASK.measure(TASK.decode(outputs), labels) == pytest.approx(expected)


def test_macro_recall_weighs_rare_classes_like_frequent_ones() -> None:
    """Nine of class 0 right and one of class 1 wrong: accuracy 0.9, macro recall 0.5, macro F1 (18/19 + 0) / 2."""
    outputs = np.tile(np.array([1, 0, 0, 0], np.float32), (10, 1))
    labels = np.array([0] * 9 + [1])
    expected = {"accuracy": 0.9, "macro_recall": 0.5, "macro_f1": 9 / 19}
    assert TASK.measure(TASK.decode(outputs), labels) == pytest.approx(expected)


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
        ([0, 4, 1, 7], f"{ALLOWED}, found 2 outside, the first is 4 at index 1"),
        ([0, 1, -2], f"{ALLOWED}, found 1 outside, the first is -2 at index 2"),
        ([0, np.nan, np.inf], f"{ALLOWED}, found 1 outside, the first is inf at index 2"),
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
def test_loss_is_the_negative_log_probability_of_the_label(sample: tuple[np.ndarray, np.ndarray]) -> None:
    """Cross-entropy of each sample, computed by hand in float64."""
    outputs, labels = sample
    exact = outputs.astype(np.float64)
    expected = np.log(np.exp(exact).sum(axis=1)) - exact[np.arange(len(labels)), labels]
    found = TASK.losses(torch.from_numpy(outputs), torch.from_numpy(labels), UNIT)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@given(_outputs_and_labels(), st.floats(0, 0.9))
def test_smoothing_mixes_the_label_with_all_classes(sample: tuple[np.ndarray, np.ndarray], smoothing: float) -> None:
    """The goal is 1 - s + s/4 for the label's class and s/4 for the others."""
    outputs, labels = sample
    task = Multiclass(name="kind", target="label", classes=4, label_smoothing=smoothing)
    goals = np.eye(4)[labels] * (1 - smoothing) + smoothing / 4
    expected = -(goals * torch.from_numpy(outputs).double().log_softmax(dim=1).numpy()).sum(axis=1)
    found = task.losses(torch.from_numpy(outputs), torch.from_numpy(labels), UNIT)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_class_weights_multiply_the_losses_of_their_classes() -> None:
    """With smoothing too: a label of weight 3 counts as three labels."""
    task = Multiclass(name="kind", target="label", classes=4, class_weights=(3.0, 1.0, 0.5, 1.0), label_smoothing=0.2)
    outputs, labels = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 1])
    statistics = task.fit(labels.numpy())
    assert statistics.class_weights == (3.0, 1.0, 0.5, 1.0)
    ratio = task.losses(outputs, labels, statistics) / task.losses(outputs, labels, UNIT)
    torch.testing.assert_close(ratio, torch.tensor([3.0, 0.5, 1.0]))


@given(npst.arrays(np.int64, st.integers(1, 40), elements=st.integers(-1, 3)))
def test_balanced_classes_count_the_same(labels: np.ndarray) -> None:
    """The weights are those of sklearn for the classes that occur; over the given labels their mean is 1."""
    weights = np.array(BALANCED.fit(labels).class_weights)
    given_labels = labels[labels >= 0]
    present = np.unique(given_labels)
    assert (weights[np.setdiff1d(range(4), present)] == 1).all()
    if len(present):
        expected = compute_class_weight("balanced", classes=present, y=given_labels)
        np.testing.assert_allclose(weights[present], expected)
        assert weights[given_labels].mean() == pytest.approx(1)


@pytest.mark.parametrize("weights", [(1.0,), (1.0,) * 5])
def test_weights_of_another_number_than_classes_are_refused(weights: tuple[float, ...]) -> None:
    """One weight for each class."""
    with pytest.raises(ValueError, match=f"one number for each of the 4 classes, found {len(weights)}"):
        Multiclass(name="kind", target="label", classes=4, class_weights=weights)


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
    expected = (taught * np.log(taught / soften(student))).sum(axis=1) * temperature**2
    found = TASK.distillation_losses(torch.from_numpy(student), torch.from_numpy(teacher), UNIT, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
