"""Training learns, is repeatable, and stops at nonsense."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mtl_edge.data.splits import Samples, Splits
from mtl_edge.errors import DataError
from mtl_edge.nets.build import build_net
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.preprocessing import fit_pixels
from mtl_edge.recipe import DataSpec, DistillSpec, Recipe, ResNetSpec
from mtl_edge.tasks import Multiclass, Regression
from mtl_edge.train.loop import FitOptions, Learner, Teacher, fit, measure

TASKS = (Multiclass(name="bright", target="bright", classes=2), Regression(name="level", target="level"))
RECIPE = Recipe(
    name="test",
    folder=Path(),
    data=DataSpec(source="mnist-pairs", input="image"),
    tasks=TASKS,
    net=ResNetSpec(width=8, depth=(1,), head_hidden=8),
)
OPTIONS = FitOptions(epochs=4, batch_size=32, learning_rate=0.01, weight_decay=0.0, bf16=False, seed=3)


def _samples(count: int) -> Samples:
    rng = np.random.default_rng(count)
    level = rng.integers(0, 200, count)
    noise = rng.integers(0, 55, (count, 1, 8, 8))
    image = (level[:, None, None, None] + noise).astype(np.uint8)
    return Samples({"image": image, "bright": (level > 100).astype(np.int64), "level": level.astype(np.float32)})


@pytest.fixture(scope="module")
def splits() -> Splits:
    """Flat grey images: is it bright, and how bright?"""
    train, val = _samples(512), _samples(128)
    return Splits(train=train, val=val, calib=val, test=val)


@pytest.fixture(scope="module")
def learner(splits: Splits) -> Learner:
    """Fitted on the training split."""
    scales = {task.name: task.fit(splits.train[task.target]) for task in TASKS}
    return Learner(TASKS, scales, fit_pixels(splits.train["image"]), "image")


def _net(learner: Learner) -> MultiTaskNet:
    torch.manual_seed(0)
    return build_net(RECIPE, (1, 8, 8), learner.scales)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_learnable_problem_is_learned(splits: Splits, learner: Learner, bf16: bool) -> None:
    """Both tasks get far better than guessing, in either precision."""
    net = _net(learner)
    options = FitOptions(epochs=6, batch_size=32, learning_rate=0.01, weight_decay=0.0, bf16=bf16, seed=3)
    history = fit(net, learner, splits, options, title="test")
    assert len(history) == 6
    assert history[-1].metrics["bright"]["accuracy"] > 0.9
    assert history[-1].metrics["level"]["r2"] > 0.8


def test_the_same_seed_gives_the_same_weights(splits: Splits, learner: Learner) -> None:
    """To the last bit."""
    nets = [_net(learner), _net(learner)]
    histories = [fit(net, learner, splits, OPTIONS, title="test") for net in nets]
    assert histories[0] == histories[1]
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True))


def test_a_student_follows_its_teacher_without_labels(splits: Splits, learner: Learner) -> None:
    """With all weight on the teacher, a student of a teacher that is wrong learns to be wrong."""
    wrong = Samples({**splits.train.arrays, "bright": 1 - splits.train["bright"]})
    teacher = _net(learner)
    fit(teacher, learner, Splits(wrong, splits.val, splits.calib, splits.test), OPTIONS, title="test")
    student = _net(learner)
    lesson = Teacher(teacher, DistillSpec(weight=1.0, temperature=2.0))
    fit(student, learner, splits, OPTIONS, title="test", teacher=lesson)
    assert measure(student, learner, splits.val, 32)["bright"]["accuracy"] < 0.2


def test_a_loss_that_is_no_number_stops_the_training(splits: Splits, learner: Learner) -> None:
    """The message says what to change."""
    options = FitOptions(epochs=2, batch_size=32, learning_rate=1e30, weight_decay=0.0, bf16=False, seed=3)
    with pytest.raises(DataError, match=r"losses must stay finite, found .* lower learning_rate"):
        fit(_net(learner), learner, splits, options, title="test")


@pytest.mark.parametrize(("count", "batch_size"), [(33, 32), (2, 32), (3, 2)])
def test_a_lone_last_sample_does_not_stop_the_training(learner: Learner, count: int, batch_size: int) -> None:
    """Batch norm cannot learn from a single value, so a last batch of one is left out."""
    few = _samples(count)
    options = FitOptions(epochs=2, batch_size=batch_size, learning_rate=0.01, weight_decay=0.0, bf16=False, seed=3)
    tiny = Samples({**few.arrays, "image": few["image"][:, :, :2, :2]})
    assert len(fit(_net(learner), learner, Splits(tiny, tiny, tiny, tiny), options, title="test")) == 2


def test_one_sample_is_too_few(learner: Learner) -> None:
    """One line instead of a network that learned nothing."""
    one = _samples(1)
    with pytest.raises(DataError, match="the train split must have at least 2 samples, found 1"):
        fit(_net(learner), learner, Splits(one, one, one, one), OPTIONS, title="test")
