"""Tests of :mod:`mtl_edge.tasks.ordinal`."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from torch.nn import functional

from mtl_edge.tasks import Binary, Ordinal, TargetStatistics

TASK = Ordinal(name="grade", target="grade", classes=4)
UNIT = TargetStatistics()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30))
def test_metrics_are_those_of_the_definitions(pairs: list[tuple[int, int]]) -> None:
    """Kappa compares the squared distances with those of labels and answers that are drawn independently."""
    labels, answers = np.array(pairs).T
    assume(len(set(labels.tolist())) > 1)
    expected_square = ((labels[:, None] - answers) ** 2).mean()
    expected = {
        "mae": abs(labels - answers).mean(),
        "accuracy": (labels == answers).mean(),
        "quadratic_kappa": 1 - ((labels - answers) ** 2).mean() / expected_square,
    }
    assert TASK.measure(answers.astype(np.uint8), labels) == pytest.approx(expected)


def test_kappa_of_one_class_alone_is_0() -> None:
    """Where chance cannot be wrong, nothing is shown."""
    assert TASK.measure(np.full(3, 2, np.uint8), np.full(3, 2))["quadratic_kappa"] == 0
    assert TASK.measure(np.array([2, 2, 0], np.uint8), np.full(3, 2))["quadratic_kappa"] == 0


@given(npst.arrays(np.float32, (6, 3), elements=st.floats(-5, 5, width=32)))
def test_the_class_is_the_number_of_steps_that_are_passed(outputs: np.ndarray) -> None:
    """In whatever order: the logits of an untrained network need not fall."""
    assert TASK.decode(outputs).tolist() == [sum(logit > 0 for logit in row) for row in outputs]


def test_width_is_one_logit_for_each_step() -> None:
    """Between four classes there are three."""
    assert TASK.width == 3


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        ([0, 4], "classes = 4 allows the labels 0 to 3 (-1: no label), found 1 outside, the first is 4 at index 1"),
        ([2.0, np.nan, 2.0], "at least two classes must occur, found only 2"),
    ],
)
def test_labels_that_cannot_be_learned_are_a_fault(labels: list[float], fault: str) -> None:
    """As for other classes, and kappa needs two of them."""
    assert TASK.find_fault(np.array(labels)) == fault


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_loss_is_the_mean_binary_cross_entropy_of_the_steps(smoothing: float) -> None:
    """Class 2 is above 0 and above 1, and not above 2."""
    task = Ordinal(name="grade", target="grade", classes=4, label_smoothing=smoothing)
    outputs, labels = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, -3.0]]), torch.tensor([2, 0])
    goals = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]) * (1 - smoothing) + smoothing / 2
    expected = functional.binary_cross_entropy_with_logits(outputs, goals, reduction="none").mean(dim=1)
    torch.testing.assert_close(task.losses(outputs, labels, UNIT), expected)


def test_class_weights_multiply_the_losses_of_their_classes() -> None:
    """A label of weight 3 counts as three labels."""
    outputs, labels = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, -3.0]]), torch.tensor([2, 0])
    weighed = TASK.losses(outputs, labels, TargetStatistics(class_weights=(0.5, 1.0, 3.0, 1.0)))
    torch.testing.assert_close(weighed / TASK.losses(outputs, labels, UNIT), torch.tensor([3.0, 0.5]))


def test_distillation_loss_is_the_mean_of_those_of_the_steps() -> None:
    """Each step is a binary task."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 3, generator=generator) for _ in range(2))
    binary = Binary(name="step", target="step")
    each = [binary.distillation_losses(student[:, [k]], teacher[:, [k]], UNIT, 2.0) for k in range(3)]
    torch.testing.assert_close(TASK.distillation_losses(student, teacher, UNIT, 2.0), torch.stack(each).mean(dim=0))
