"""Fine-tuning: the int8 model learns to answer as a teacher does, and what is judged is the file that ships."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mtl_edge.errors import DataError, ModelError
from mtl_edge.progress import progress_bar
from mtl_edge.quantize.data import CalibrationData
from mtl_edge.quantize.finetune.agreement import check_agreement
from mtl_edge.quantize.finetune.course import Course, Finetuned
from mtl_edge.quantize.finetune.loss import LEAST, Loss
from mtl_edge.quantize.finetune.student import Student
from mtl_edge.quantize.form import Form
from mtl_edge.quantize.static import insert_form, with_qdq
from mtl_edge.quantize.target import Target
from mtl_edge.runtime import open_session

_CHECKS = 10
"""How often the file is written and judged."""
_WATCHED = 1024
"""Samples that are kept aside at most."""
_WARMUP = 0.05
"""Share of the steps in which the learning rates rise."""
_FELT = 1.25
"""No output may end so much farther from the teacher, a decibel, whatever others gain."""
_RATES = {"numbers": 0.02, "weight_steps": 1e-4, "activation_steps": 1e-4, "biases": 3e-3}
"""Highest learning rates: weights and biases in steps of weights, steps by their logarithms."""


@dataclass(frozen=True)
class _Batch:
    """Inputs, the teacher's answers, and labels."""

    inputs: dict[str, Tensor]
    taught: dict[str, Tensor]
    labels: dict[str, Tensor]


def finetune(
    start: Form,
    kept: frozenset[str],
    target: Target,
    course: Course,
    holds: Callable[[bytes], bool] | None = None,
) -> tuple[Form, Finetuned]:
    """Train the weights, biases and ranges of an int8 model.

    Args:
        start: what it is written from.
        kept: nodes that stay in float besides those that always do.
        target: the kind of processor that will run it.
        course: what to learn, from what.
        holds: whether a model is good enough to stop at; None means to go through all steps.

    Returns:
        What the best of the models that were written is written from, by its answers to samples that were not learned
        from; that is what it was at the start where nothing is better. And what is to be told of it.

    Raises:
        ModelError: the graph has something that cannot be trained.
        DataError: there are too few samples.
    """
    graph = with_qdq(start.model, start.ranges, target, kept=kept, pinned=start.pinned).graph
    student = Student(graph, start, saturates=target.saturates)
    if not len(student.numbers):
        raise ModelError("finetune: nothing in the graph can be trained, as no layer has weights in 8 bits")
    with torch.random.fork_rng(devices=[]):
        return _Training(student, start, kept, target, course).run(holds)


class _Training:
    """A training under way."""

    def __init__(self, student: Student, start: Form, kept: frozenset[str], target: Target, course: Course) -> None:
        self._student, self._start, self._kept, self._target, self._course = student, start, kept, target, course
        self._learned, self._watched = _parted(course)
        floats = self._names = [item.name for item in course.teacher.get_outputs() if item.type == "tensor(float)"]
        taught = [batch.taught for batch in self._batches(self._watched)]
        known = {name: np.concatenate([batch[name].numpy() for batch in taught]) for name in floats}
        self._loss = Loss(course, floats, known)

    def run(self, holds: Callable[[bytes], bool] | None) -> tuple[Form, Finetuned]:
        """All steps, or as many as it takes."""
        model = self._write(self._start)
        check_agreement(self._student, model, next(self._batches(self._watched)).inputs)
        before, losses = self._judge(model)
        self._loss.start(before, losses)
        best, least, after = self._start, 1.0, before
        optimizer = torch.optim.Adam(
            [{"params": list(getattr(self._student, name)), "lr": rate} for name, rate in _RATES.items()]
        )
        steps = self._course.steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
        every = max(steps // _CHECKS, 1)
        done = 0
        with progress_bar("fine-tune", total=steps) as bar:
            for batch in self._endless():
                optimizer.zero_grad()
                found = self._student(batch.inputs)
                loss = self._loss.total(*self._loss.parts(found, batch.taught, batch.labels))
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                self._student.settle()
                done += 1
                bar.advance(f"{least:.2f} of the loss before")
                if done % every and done < steps:
                    continue
                if not all(parameter.isfinite().all() for parameter in self._student.parameters()):
                    break  # what was best so far stays
                trained = self._student.trained()
                model = self._write(trained)
                distances, losses = self._judge(model)
                now = float(self._loss.total(_tensors(distances), _tensors(losses)))
                if now < least and all(value <= _FELT * max(before[name], LEAST) for name, value in distances.items()):
                    best, least, after = trained, now, distances
                    if holds is not None and holds(model):
                        break
                if done >= steps:
                    break
        told = {name: after[name] / max(before[name], 1e-30) for name in before}
        return best, Finetuned(
            steps=done,
            samples=len(self._learned.positions),
            distance=told,
            kept=least < 1,
            remark="" if least < 1 else "no better than before on samples that were not learned from",
        )

    def _write(self, form: Form) -> bytes:
        return insert_form(form, self._target, self._kept)

    def _judge(self, model: bytes) -> tuple[dict[str, float], dict[str, float]]:
        """What the runtime answers to the samples that are kept aside: distances and losses, by output."""
        session = open_session(model)
        sums: tuple[dict[str, float], dict[str, float]] = {}, {}
        total = 0
        for batch in self._batches(self._watched):
            feeds = {name: tensor.numpy() for name, tensor in batch.inputs.items()}
            answers = session.run(self._names, feeds)
            found = {name: torch.from_numpy(answer) for name, answer in zip(self._names, answers, strict=True)}
            count = len(next(iter(feeds.values())))
            total += count
            for into, parts in zip(sums, self._loss.parts(found, batch.taught, batch.labels), strict=True):
                for name, part in parts.items():
                    into[name] = into.get(name, 0.0) + float(part) * count
        return tuple({name: value / total for name, value in each.items()} for each in sums)  # type: ignore[return-value]

    def _endless(self) -> Iterator[_Batch]:
        """Batches of the samples to learn from, in another order in each round."""
        chance = np.random.default_rng(self._course.seed)
        while True:
            order = chance.permutation(self._learned.positions)
            yield from self._batches(dataclasses.replace(self._learned, positions=order))

    def _batches(self, data: CalibrationData) -> Iterator[_Batch]:
        for number, arrays in enumerate(data):
            rows = data.positions[number * data.batch_size : (number + 1) * data.batch_size]
            feeds = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            answers = self._course.teacher.run(self._names, feeds)
            yield _Batch(
                {name: torch.from_numpy(array) for name, array in feeds.items()},
                {name: torch.from_numpy(out) for name, out in zip(self._names, answers, strict=True)},
                {
                    task.name: torch.from_numpy(task.labels(self._course.targets[task.name][rows]))
                    for task in self._course.tasks
                    if task.name in self._course.targets
                },
            )


def _parted(course: Course) -> tuple[CalibrationData, CalibrationData]:
    """Samples to learn from, and samples to watch by, in whole batches.

    Raises:
        DataError: there are not two batches.
    """
    data = course.data
    size, total = data.batch_size, len(data.positions)
    if total < 2 * size:
        raise DataError(f"finetune: must have {2 * size} samples to learn from and to watch by, found {total}")
    watched = max(min(total // 8, _WATCHED) // size, 1) * size
    order = np.random.default_rng(course.seed).permutation(data.positions)
    learned = order[watched : watched + (total - watched) // size * size]
    return dataclasses.replace(data, positions=learned), dataclasses.replace(data, positions=order[:watched])


def _rate(step: int, steps: int) -> float:
    """Share of the highest learning rate: it rises for a while, and falls as a half cosine."""
    rise = min((step + 1) / max(_WARMUP * steps, 1), 1.0)
    return rise * 0.5 * (1 + math.cos(math.pi * step / steps))


def _tensors(values: Mapping[str, float]) -> dict[str, Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}
