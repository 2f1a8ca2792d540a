"""Tests of :mod:`mtl_edge.tasks.binary`."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from torch.nn import functional

from mtl_edge.tasks import Binary, TargetStatistics

TASK = Binary(name="ill", target="sick")
UNIT = TargetStatistics()
_LOGITS = st.floats(-20, 20, width=32)


@st.composite
def _outputs_and_labels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    count = draw(st.integers(1, 30))
    outputs = draw(npst.arrays(np.float32, (count, 1), elements=_LOGITS))
    return outputs, draw(npst.arrays(np.int64, count, elements=st.integers(0, 1)))


@given(_outputs_and_labels())
def test_metrics_are_those_of_the_definitions(sample: tuple[np.ndarray, np.ndarray]) -> None:
    """Counted by hand; ROC AUC is the share of pairs of yes and no in the right order, ties count half."""
    outputs, labels = sample
    assume(0 < labels.sum() < len(labels))
    answers, logits = outputs[:, 0] > 0, outputs[:, 0]
    right = (answers & (labels == 1)).sum()
    apart = logits[labels == 1][:, None] - logits[labels == 0]
    expected = {
        "accuracy": np.mean(answers == labels),
        "recall": right / labels.sum(),
        "f1": 2 * right / (labels.sum() + answers.sum()),
        "roc_auc": (np.sign(apart) + 1).mean() / 2,
    }
    assert TASK.measure(TASK.decode(outputs), labels) == pytest.approx(expected)


@pytest.mark.parametrize(("label", "answer"), [(0, -1.0), (0, 1.0), (1, -1.0), (1, 1.0)])
def test_metrics_of_one_class_alone_are_those_documented(label: int, answer: float) -> None:
    """Without any yes, recall and F1 are 0; ROC AUC is that of chance."""
    found = TASK.measure(np.full((3, 1), answer, np.float32), np.full(3, label))
    right = float(label == (answer > 0))
    assert found == {"accuracy": right, "recall": right * label, "f1": right * label, "roc_auc": 0.5}


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_labels_may_be_of_any_type(dtype: type) -> None:
    """Truth values, whole numbers and floats mean the same."""
    targets = np.array([0, 1, 1]).astype(dtype)
    assert TASK.find_fault(targets) is None
    assert TASK.labels(targets).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        ([0, 1, 2, 0, 3], "labels must be 0 or 1 (-1: no label), found 2 others, the first is 2 at index 2"),
        ([0.0, 0.5], "labels must be 0 or 1 (-1: no label), found 1 others, the first is 0.5 at index 1"),
        ([np.inf, 1], "labels must be 0 or 1 (-1: no label), found 1 others, the first is inf at index 0"),
        ([1, -1, 1], "both 0 and 1 must occur, found only 1"),
        ([0.0, np.nan], "both 0 and 1 must occur, found only 0"),
        ([[0], [1]], "labels must have the shape (N,), found (2, 1)"),
    ],
)
def test_what_is_no_answer_is_named_with_its_index(labels: list[float], fault: str) -> None:
    """The fault says the rule, the value and where it first occurs."""
    assert TASK.find_fault(np.array(labels)) == fault


@given(_outputs_and_labels(), st.floats(0, 0.9))
def test_loss_is_the_smoothed_binary_cross_entropy(sample: tuple[np.ndarray, np.ndarray], smoothing: float) -> None:
    """The goal is 1 - s/2 for yes and s/2 for no."""
    outputs, labels = map(torch.from_numpy, sample)
    task = Binary(name="ill", target="sick", label_smoothing=smoothing)
    goals = labels.double() * (1 - smoothing) + smoothing / 2
    expected = functional.binary_cross_entropy(outputs[:, 0].double().sigmoid(), goals, reduction="none")
    torch.testing.assert_close(task.losses(outputs, labels, UNIT).double(), expected, rtol=1e-4, atol=1e-4)


def test_positive_weight_multiplies_the_losses_of_yes() -> None:
    """As torch's ``pos_weight`` does."""
    task = Binary(name="ill", target="sick", positive_weight=3.0)
    outputs, labels = torch.tensor([[0.5], [-1.0], [2.0]]), torch.tensor([1, 0, 0])
    expected = functional.binary_cross_entropy_with_logits(
        outputs[:, 0], labels.float(), reduction="none", pos_weight=torch.tensor(3.0)
    )
    torch.testing.assert_close(task.losses(outputs, labels, task.fit(labels.numpy())), expected)


def test_balanced_answers_count_the_same() -> None:
    """Of one yes and three no: 4 / 2 for yes and 4 / 6 for no, the mean over the labels is 1."""
    task = Binary(name="ill", target="sick", positive_weight="balanced")
    assert task.fit(np.array([0, 0, 1, 0, -1])).class_weights == pytest.approx((2 / 3, 2.0))


@given(npst.arrays(np.float32, (5, 1), elements=_LOGITS), npst.arrays(np.float32, (5, 1), elements=_LOGITS))
def test_distillation_loss_is_the_softened_divergence_times_t_squared(student: np.ndarray, teacher: np.ndarray) -> None:
    """KL(teacher || student) of yes and no at temperature 2, by hand in float64."""
    yes, taught = (1 / (1 + np.exp(-logits[:, 0].astype(np.float64) / 2)) for logits in (student, teacher))
    expected = 4 * (taught * np.log(taught / yes) + (1 - taught) * np.log((1 - taught) / (1 - yes)))
    found = TASK.distillation_losses(torch.from_numpy(student), torch.from_numpy(teacher), UNIT, 2.0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
