"""Tests of :mod:`mtl_edge.tasks.multilabel`."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from torch.nn import functional

from mtl_edge.tasks import Binary, Multilabel, TargetStatistics

TASK = Multilabel(name="tags", target="tags", classes=3)
UNIT = TargetStatistics()
_LOGITS = st.floats(-20, 20, width=32)


@st.composite
def _outputs_and_labels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    count = draw(st.integers(1, 20))
    outputs = draw(npst.arrays(np.float32, (count, 3), elements=_LOGITS))
    labels = draw(npst.arrays(np.int64, (count, 3), elements=st.integers(-1, 1)))
    labels[0, 0] = max(labels[0, 0], 0)  # one at least is given
    return outputs, labels


@given(_outputs_and_labels())
def test_metrics_are_those_of_the_definitions(sample: tuple[np.ndarray, np.ndarray]) -> None:
    """Counted by hand over the labels that were given."""
    outputs, labels = sample
    f1, auc = [], []
    for logits, column in zip(outputs.T, labels.T, strict=True):
        yes, no = logits[column == 1], logits[column == 0]
        if yes.size:
            f1.append(2 * (yes > 0).sum() / (yes.size + (yes > 0).sum() + (no > 0).sum()))
            if no.size:
                auc.append((np.sign(yes[:, None] - no) + 1).mean() / 2)
    hits, all_yes = ((outputs > 0) & (labels == 1)).sum(), (labels == 1).sum()
    answered_yes = ((outputs > 0) & (labels >= 0)).sum()
    right = ((outputs > 0) == labels) | (labels < 0)
    expected = {
        "macro_f1": np.mean(f1) if f1 else 0.0,
        "micro_f1": 2 * hits / max(all_yes + answered_yes, 1),
        "exact_match": right.all(axis=1)[(labels >= 0).any(axis=1)].mean(),
        "macro_roc_auc": np.mean(auc) if auc else 0.5,
    }
    assert TASK.measure(TASK.decode(outputs), labels) == pytest.approx(expected)


def test_a_single_class_is_measured_like_a_binary_task() -> None:
    """F1 and ROC AUC agree; exact match is accuracy."""
    outputs, labels = np.array([[1.0], [-1.0], [0.5], [2.0]], np.float32), np.array([1, 0, 0, 1])
    binary = Binary(name="tag", target="tag").measure(outputs, labels)
    found = Multilabel(name="tags", target="tags", classes=1).measure(outputs, labels[:, None])
    assert found["macro_f1"] == found["micro_f1"] == binary["f1"]
    assert (found["exact_match"], found["macro_roc_auc"]) == (binary["accuracy"], binary["roc_auc"])


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (
            [[0, 1, 0], [0, 1, 2]],
            "labels must be 0 or 1 (-1: no label), found 1 others, the first is 2 at index (1, 2)",
        ),
        ([[0, 1], [1, 0]], "labels must have the shape (N, 3), found (2, 2)"),
        ([0, 1, 1], "labels must have the shape (N, 3), found (3,)"),
        ([[0, 1, 0], [0, -1, 0]], "both 0 and 1 must occur in at least one of the 3 classes, found none such"),
    ],
)
def test_what_is_no_answer_is_named_with_its_index(labels: list[list[int]], fault: str) -> None:
    """The fault says the rule, the value and where it first occurs."""
    assert TASK.find_fault(np.array(labels)) == fault


def test_a_class_may_lack_one_of_the_answers() -> None:
    """Rare tags do not occur in every split."""
    assert TASK.find_fault(np.array([[0, 0, 1], [1, 0, 1]])) is None


def test_losses_are_those_of_torch_with_a_weight_for_each_class() -> None:
    """Balanced answers weigh n / (2 · count) by class; smoothing moves the goals."""
    task = Multilabel(name="tags", target="tags", classes=3, positive_weight="balanced", label_smoothing=0.2)
    labels = np.array([[0, 1, -1], [0, 1, 1], [1, 1, 0], [0, -1, 0]])
    weights = task.fit(labels).class_weights
    assert weights == pytest.approx((2 / 3, 2.0, 1.0, 1.0, 3 / 4, 3 / 2))
    outputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    losses = functional.binary_cross_entropy_with_logits(
        outputs, torch.from_numpy(labels) * 0.8 + 0.1, reduction="none"
    )
    weight = np.take_along_axis(np.reshape(weights, (1, 3, 2)), labels[..., None].clip(0), axis=2)[..., 0]
    expected = (losses * torch.from_numpy(weight).float())[torch.from_numpy(labels >= 0)]
    torch.testing.assert_close(task.losses(outputs, torch.from_numpy(labels), task.fit(labels)), expected)


def test_a_positive_weight_is_that_of_every_class() -> None:
    """A number weighs yes against no alike."""
    task = Multilabel(name="tags", target="tags", classes=2, positive_weight=5.0)
    assert task.fit(np.array([[0, 1], [1, 0]])).class_weights == (1.0, 5.0, 1.0, 5.0)


def test_distillation_loss_is_the_mean_of_those_of_the_classes() -> None:
    """Each class is a binary task."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 3, generator=generator) for _ in range(2))
    binary = Binary(name="tag", target="tag")
    each = [binary.distillation_losses(student[:, [k]], teacher[:, [k]], UNIT, 2.0) for k in range(3)]
    found = TASK.distillation_losses(student, teacher, UNIT, 2.0)
    torch.testing.assert_close(found, torch.stack(each).mean(dim=0))
