"""Tests of :mod:`mtl_edge.tasks.segmentation`."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mtl_edge.tasks import Multiclass, Segmentation, TargetStatistics

TASK = Segmentation(name="parts", target="mask", classes=4)
_SHAPE = (3, 4, 5)


@given(
    npst.arrays(np.int64, _SHAPE, elements=st.integers(0, 3)),
    npst.arrays(np.int64, _SHAPE, elements=st.integers(-1, 3)).filter(lambda labels: (labels >= 0).any()),
)
def test_metrics_are_those_of_the_definitions(answers: np.ndarray, labels: np.ndarray) -> None:
    """Intersection over union of the pixels that were given, averaged over the classes that occur, by sets."""
    unions = []
    for label in range(4):
        is_label, is_answer = labels == label, (answers == label) & (labels >= 0)
        if is_label.any():
            unions.append((is_label & is_answer).sum() / (is_label | is_answer).sum())
    expected = {"miou": np.mean(unions), "pixel_accuracy": (answers == labels)[labels >= 0].mean()}
    assert TASK.measure(answers.astype(np.uint8), labels) == pytest.approx(expected)


def test_many_pixels_are_measured_in_little_time() -> None:
    """Eight million pixels take about a tenth of a second, not the seconds of sorting them."""
    rng = np.random.default_rng(0)
    labels, answers = (rng.integers(0, 4, (128, 256, 256), np.uint8) for _ in range(2))
    started = time.perf_counter()
    found = TASK.measure(answers, labels)
    assert time.perf_counter() - started < 5
    assert found == pytest.approx({"miou": 1 / 7, "pixel_accuracy": 1 / 4}, abs=1e-3)


@pytest.mark.parametrize(("classes", "dtype"), [(2, np.uint8), (256, np.uint8), (257, np.uint16)])
def test_decoded_maps_are_as_small_as_the_classes_allow(classes: int, dtype: type) -> None:
    """One byte for each pixel, where that holds all classes; the largest class survives."""
    outputs = np.zeros((1, classes, 2, 3), np.float32)
    outputs[:, -1] = 1
    decoded = Segmentation(name="parts", target="mask", classes=classes).decode(outputs)
    assert decoded.dtype == dtype
    assert (decoded == classes - 1).all()


@pytest.mark.parametrize(
    ("place", "value", "fault"),
    [
        ((1, 0, 2), 9, "(-1: no label), found 1 outside, the first is 9 at index (1, 0, 2)"),
        ((2, 3, 4), 0.5, "classes must be whole numbers, found 0.5 at index (2, 3, 4)"),
    ],
)
def test_a_pixel_that_is_no_class_is_named_with_its_place(place: tuple[int, ...], value: float, fault: str) -> None:
    """Sample, row and column."""
    labels = np.zeros(_SHAPE)
    labels[place] = value
    found = TASK.find_fault(labels)
    assert found is not None
    assert found.endswith(fault)


def test_losses_and_distances_are_those_of_a_multiclass_task_for_each_pixel() -> None:
    """A map is many samples."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(3, 4, 4, 5, generator=generator) for _ in range(2))
    labels = torch.randint(-1, 4, _SHAPE, generator=generator)
    options = {"name": "x", "target": "y", "classes": 4, "class_weights": (1.0, 2.0, 3.0, 4.0), "label_smoothing": 0.1}
    dense, flat = Segmentation(**options), Multiclass(**options)
    statistics = dense.fit(labels.numpy())
    pixels = [maps.movedim(1, -1).reshape(-1, 4) for maps in (student, teacher)]
    torch.testing.assert_close(
        dense.losses(student, labels, statistics), flat.losses(pixels[0], labels.flatten(), statistics)
    )
    torch.testing.assert_close(
        dense.distillation_losses(student, teacher, statistics, 2.0),
        flat.distillation_losses(*pixels, statistics, 2.0),
    )


def test_balanced_weights_count_pixels() -> None:
    """Not samples; those without a label count for none."""
    task = Segmentation(name="parts", target="mask", classes=2, class_weights="balanced")
    labels = np.array([[[0, 0, 0, 1, -1]]])
    assert task.fit(labels) == TargetStatistics(class_weights=(2 / 3, 2.0))
