"""A problem that a tiny network learns in a second: flat grey images, is it bright, and how bright?"""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from mtl_edge.artifact import ModelInput
from mtl_edge.data.splits import Samples, Splits
from mtl_edge.nets.build import build_net
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.preprocessing import fit_pixels
from mtl_edge.recipe import ResNetSpec
from mtl_edge.tasks import Multiclass, Regression
from mtl_edge.train.learner import Learner
from mtl_edge.train.training import FitOptions

TASKS = (Multiclass(name="bright", target="bright", classes=2), Regression(name="level", target="level"))


def _samples(count: int) -> Samples:
    rng = np.random.default_rng(count)
    level = rng.integers(0, 200, count)
    noise = rng.integers(0, 55, (count, 1, 8, 8))
    image = (level[:, None, None, None] + noise).astype(np.uint8)
    return Samples({"image": image, "bright": (level > 100).astype(np.int64), "level": level.astype(np.float32)})


@pytest.fixture(scope="session")
def samples() -> Callable[[int], Samples]:
    """Make so many grey images."""
    return _samples


@pytest.fixture(scope="session")
def splits() -> Splits:
    """A problem of 512 training and 128 validation samples."""
    train, val = _samples(512), _samples(128)
    return Splits(train=train, val=val, calib=val, test=val)


def grey_learner(train: Samples) -> Learner:
    """Fitted on training samples."""
    statistics = {task.name: task.fit(train[task.target]) for task in TASKS}
    return Learner(TASKS, statistics, fit_pixels(train["image"]), "image")


def grey_net(learner: Learner) -> MultiTaskNet:
    """The same fresh network each time."""
    torch.manual_seed(0)
    source = ModelInput(name="image", dtype="float32", shape=("batch", 1, 8, 8), preprocessing=learner.preprocessing)
    spec = ResNetSpec(width=8, depth=(1,), head_hidden=8)
    return build_net(spec, TASKS, source, learner.statistics)


@pytest.fixture(scope="session")
def learner(splits: Splits) -> Learner:
    """Fitted on the training split."""
    return grey_learner(splits.train)


@pytest.fixture
def make_net(learner: Learner) -> Callable[[], MultiTaskNet]:
    """Make the same fresh network each time."""
    return lambda: grey_net(learner)


@pytest.fixture
def make_problem() -> Callable[[Splits], tuple[MultiTaskNet, Learner]]:
    """Make a fresh network and a learner for other splits of grey images."""

    def make(splits: Splits) -> tuple[MultiTaskNet, Learner]:
        learner = grey_learner(splits.train)
        return grey_net(learner), learner

    return make


@pytest.fixture(scope="session")
def options() -> Callable[..., FitOptions]:
    """Options of a short training, with some of them changed."""

    def make(**changed: object) -> FitOptions:
        given = {"epochs": 4, "batch_size": 32, "learning_rate": 0.01, "weight_decay": 0.0, "device": "cpu"}
        return FitOptions(**{**given, "bf16": False, "seed": 3, **changed})  # type: ignore[arg-type]

    return make
