"""Tests of :mod:`mtl_edge.compress.trial`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mtl_edge.compress import trial as trials
from mtl_edge.compress.trial import Trial
from mtl_edge.data.splits import Samples, Splits
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.preprocessing import Pixels
from mtl_edge.recipe import DistillSpec
from mtl_edge.tasks import Regression
from mtl_edge.train.learner import Learner
from mtl_edge.train.teacher import Teacher
from mtl_edge.train.training import FitOptions

TASKS = (Regression(name="first", target="first"), Regression(name="second", target="second"))
PLAIN = Pixels(raw_dtype="float32", scale=1.0, mean=(0.0,), std=(1.0,))


def _samples(count: int, seed: int) -> Samples:
    x = np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32)
    return Samples({"x": x, "first": x[:, 0] - x[:, 1], "second": x[:, 2]})


@pytest.fixture
def make(make_net: Callable[[], MultiTaskNet], tmp_path: Path) -> Callable[..., Trial]:
    """A trial on so many samples of the fine-tuning with such options."""

    def make(count: int, **options: object) -> Trial:
        train, val = _samples(count, 0), _samples(100, 1)
        learner = Learner(TASKS, {task.name: task.fit(train[task.target]) for task in TASKS}, PLAIN, "x")
        chosen = {"batch_size": 32, "device": "cpu", "bf16": False, "seed": 0, **options}
        teacher = Teacher([make_net()], DistillSpec(weight=0.0))
        return Trial(learner, Splits(train, val, val, val), FitOptions(**chosen), teacher, tmp_path)  # type: ignore[arg-type]

    return make


@pytest.mark.parametrize(
    ("count", "options", "epochs", "steps"),
    [
        (40_000, {"epochs": 20}, 1, 256),
        (3_200, {"epochs": 20}, 3, 86),
        (3_200, {"epochs": 2}, 1, 50),
        (40, {"epochs": 1}, 1, 1),
    ],
    ids=["many samples", "several epochs", "a quarter", "one step"],
)
def test_a_trial_is_a_quarter_of_the_fine_tuning_at_most(
    count: int,
    options: dict[str, int],
    epochs: int,
    steps: int,
    make: Callable[..., Trial],
    net: MultiTaskNet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And 256 steps at most, in which the rate of learning rises and falls as in all of it; nothing ends it sooner."""
    asked: list[FitOptions] = []
    monkeypatch.setattr(trials, "fit", lambda *given, **_: asked.append(given[3]))
    make(count, patience=1, warmup_epochs=0.5, **options).losses_after(net, "try")
    (short,) = asked
    assert (short.epochs, short.most_steps) == (epochs, steps)
    assert short.warmup_share == pytest.approx(0.5 / options["epochs"])
    assert short.patience is None


def test_a_network_learns_in_a_trial_and_is_tried_once(make: Callable[..., Trial], net: MultiTaskNet) -> None:
    """What came of it is kept for networks of the same shapes; losses are those of the validation samples."""
    trial = make(3_200, epochs=8, learning_rate=1e-2)
    before = trial.losses(net)
    after = trial.losses_after(net, "try")
    assert all(after[task] < 0.5 * before[task] for task in before)
    assert after == trial.losses(net)
    learned = torch.cat([value.flatten() for value in net.state_dict().values()])
    assert trial.losses_after(net, "again") == after
    assert torch.equal(torch.cat([value.flatten() for value in net.state_dict().values()]), learned)
