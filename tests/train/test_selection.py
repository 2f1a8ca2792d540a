"""Epochs are compared over all tasks, each by its first metric."""

import math

import pytest

from mtl_edge.tasks import Multiclass, Regression
from mtl_edge.train.selection import best_epoch, progress
from mtl_edge.train.training import Epoch

TASKS = (Multiclass(name="kind", target="kind", classes=2), Regression(name="size", target="size"))


def _epoch(accuracy: float, mae: float) -> Epoch:
    return Epoch({}, {"kind": {"accuracy": accuracy}, "size": {"mae": mae}})


def test_progress_is_the_mean_relative_gain_over_the_first_epoch() -> None:
    """More accuracy and less error are gains."""
    history = [_epoch(0.5, 2.0), _epoch(0.6, 1.0), _epoch(0.4, 2.0)]
    assert progress(history, TASKS) == pytest.approx([0.0, (0.2 + 0.5) / 2, (-0.2 + 0.0) / 2])
    assert best_epoch(history, TASKS) == 1


def test_of_equal_epochs_the_first_is_best() -> None:
    """So patience counts from when it got there."""
    assert best_epoch([_epoch(0.5, 1.0), _epoch(0.6, 1.0), _epoch(0.6, 1.0)], TASKS) == 1


def test_a_task_without_a_value_counts_nowhere() -> None:
    """And a first value of 0 divides nothing."""
    history = [_epoch(0.0, math.nan), _epoch(0.25, math.nan)]
    assert progress(history, TASKS) == [0.0, 0.25]
