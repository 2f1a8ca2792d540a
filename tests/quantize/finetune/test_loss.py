"""What counts in fine-tuning: the teacher and the labels of each task."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch

from mtl_edge.quantize.data import CalibrationData
from mtl_edge.quantize.finetune.course import Course
from mtl_edge.quantize.finetune.loss import Loss
from mtl_edge.runtime import Session
from mtl_edge.tasks import Regression


@pytest.mark.parametrize(("weights", "expected"), [({}, 0.5 * 2 + 0.5 * 4), ({"level": 0.75}, 0.75 * 2 + 0.25 * 4)])
def test_a_task_s_own_weight_goes_before_that_of_all(weights: dict[str, float], expected: float) -> None:
    """The teacher's part of a task's loss is its own where it has one."""
    course = Course(
        when="always",
        data=cast("CalibrationData", None),  # neither is read here
        teacher=cast("Session", None),
        tasks=(Regression(name="level", target="level"),),
        targets={"level": np.arange(4, dtype=np.float32)},
    )
    loss = Loss(replace(course, weight=0.5, weights=weights), ["level"], {"level": np.ones((4, 1), np.float32)})
    loss.start({"level": 1.0}, {"level": 1.0})
    total = loss.total({"level": torch.tensor(2.0)}, {"level": torch.tensor(4.0)})
    assert float(total) == pytest.approx(expected)
