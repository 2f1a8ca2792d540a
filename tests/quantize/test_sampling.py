"""Tests of :mod:`mtl_edge.quantize.sampling`."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mtl_edge.quantize.sampling import balanced_sample, uncovered
from mtl_edge.tasks import Binary, Multiclass, Multilabel, Regression, Segmentation

KIND = Multiclass(name="kind", target="label", classes=4)
SIZE = Regression(name="size", target="area")
RARE = Binary(name="rare", target="flag")


def _arrays(count: int) -> dict[str, np.ndarray]:
    """Class 3 and the flag are rare, every tenth area is missing."""
    labels = np.arange(count) % 3
    labels[:4] = 3
    area = np.arange(count, dtype=np.float32)
    area[::10] = np.nan
    return {"label": labels, "area": area, "flag": (np.arange(count) >= count - 5).astype(int)}


@given(st.integers(20, 300), st.integers(1, 400), st.integers(0, 9))
def test_a_sample_has_as_many_positions_as_asked_for(total: int, count: int, seed: int) -> None:
    """All of them different; or all that there are."""
    found = balanced_sample([KIND, SIZE, RARE], _arrays(total), count, np.random.default_rng(seed))
    assert len(found) == len(set(found.tolist())) == min(count, total)
    assert found.min() >= 0
    assert found.max() < total


def test_rare_classes_are_not_rare_among_the_drawn() -> None:
    """Four of a thousand, five of a thousand: all of them are in the first hundred."""
    arrays = _arrays(1000)
    found = balanced_sample([KIND, SIZE, RARE], arrays, 100, np.random.default_rng(0))
    drawn = {name: array[found] for name, array in arrays.items()}
    assert (drawn["label"] == 3).sum() == 4
    assert drawn["flag"].sum() == 5
    assert uncovered([KIND, SIZE, RARE], drawn) == []
    halves = np.histogram(drawn["area"][~np.isnan(drawn["area"])], bins=5, range=(0, 1000))[0]
    assert halves.min() >= 10


def test_without_labels_chance_decides() -> None:
    """As for a model whose tasks nobody knows."""
    found = balanced_sample([KIND], {"image": np.zeros((50, 1))}, 10, np.random.default_rng(0))
    assert len(found) == 10


def test_what_is_not_covered_is_named() -> None:
    """Classes that do not occur, and tasks without labels."""
    arrays = {
        "label": np.array([0, 2, -1]),
        "tags": np.array([[1, 0], [1, -1], [0, 0]]),
        "map": np.zeros((3, 2, 2), int),
    }
    tasks = (
        KIND,
        SIZE,
        Multilabel(name="tags", target="tags", classes=2),
        Segmentation(name="map", target="map", classes=2),
    )
    assert uncovered(tasks, arrays) == [
        "no sample of class 1, class 3 of kind",
        "no labels of size",
        "no sample of class 1 of tags",
        "no sample of class 1 of map",
    ]
