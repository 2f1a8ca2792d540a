"""What fine-tuning is given, and what is told of it afterwards; needs no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec
import numpy as np

from mtl_edge.quantize.data import CalibrationData, GraphInput, fixed_batch
from mtl_edge.runtime import Session
from mtl_edge.tasks import Task

FinetuneName = Literal["never", "if-needed", "always"]

STEPS = 400
_BATCH = 64


@dataclass(frozen=True)
class Course:
    """What an int8 model is to learn, from which samples, and for how long.

    Attributes:
        when: ``always``, or only where budgets are missed.
        data: the samples to learn from (see :func:`every_sample`); one in eight, but no more than are needed, is kept
            aside to watch by.
        teacher: the fp32 model, or whatever else answers as one, whose outputs are the goal.
        tasks: what outputs mean; others are learned as numbers.
        targets: task -> the data set's targets of all samples, where there are labels.
        steps: of training, at most.
        weight: the teacher's part of the loss, where there are labels.
        weights: task -> the same, of tasks that have a part of their own.
        temperature: what logits are divided by.
        seed: of the samples' order.
    """

    when: FinetuneName
    data: CalibrationData
    teacher: Session
    tasks: Sequence[Task] = ()
    targets: Mapping[str, np.ndarray] = field(default_factory=dict)
    steps: int = STEPS
    weight: float = 0.7
    weights: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 2.0
    seed: int = 0


class Finetuned(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        steps: that were done.
        samples: that were learned from.
        distance: output -> how far from the teacher's it is on samples that were kept aside, over what it was before.
        kept: whether the trained model took the place of the one before.
        remark: why not, or why there was nothing to train; empty otherwise.
    """

    steps: int = 0
    samples: int = 0
    distance: dict[str, float] = {}
    kept: bool = False
    remark: str = ""


def every_sample(data: CalibrationData, inputs: Sequence[GraphInput]) -> CalibrationData:
    """All samples of which some were drawn to calibrate with, in batches for training.

    Args:
        data: the samples.
        inputs: the graph's, one of which may demand a number of samples.
    """
    total = min(len(array) for array in data.arrays.values())
    batch_size = fixed_batch(inputs) or max(min(_BATCH, total // 8), 1)
    return replace(data, positions=np.arange(total), batch_size=batch_size)
