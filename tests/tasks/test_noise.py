"""Tests of :mod:`mtl_edge.tasks.noise`: what samples can tell of a loss."""

import numpy as np
import pytest

from mtl_edge.tasks import Budget, Multiclass, Noise, Regression, loss_noise

KIND = Multiclass(name="kind", target="kind", classes=2)
SIZE = Regression(name="size", target="size")
RNG = np.random.default_rng(0)
COUNT = 2000


def test_noise_is_the_standard_error_of_the_paired_loss() -> None:
    """Of a mean it is known in closed form: here each model errs on 20 % of the samples, but they differ on 2 %."""
    labels = RNG.integers(0, 2, COUNT)
    before = np.where(RNG.random(COUNT) < 0.2, 1 - labels, labels)
    after = np.where(RNG.random(COUNT) < 0.02, 1 - before, before)
    found = loss_noise(KIND, Budget(0.1, "pt"), before, after, labels, split="test")
    differences = (before == labels).astype(float) - (after == labels)
    paired = 100 * differences.std() / COUNT**0.5
    alone = 100 * (0.2 * 0.8 / COUNT) ** 0.5
    assert found.error == pytest.approx(paired, rel=0.35)
    assert found.error < 0.5 * alone
    assert found.drowns


def test_an_error_is_judged_in_per_cent_of_itself() -> None:
    """The budget's unit, whatever that of the labels is."""
    labels = RNG.normal(0, 100, COUNT)
    before = labels + RNG.normal(0, 10, COUNT)
    after = before + RNG.normal(0, 3, COUNT)
    found = loss_noise(SIZE, Budget(5.0, "%"), before[:, None], after[:, None], labels, split="test")
    gaps = np.abs(after - labels) - np.abs(before - labels)
    assert found.error == pytest.approx(100 * gaps.std() / COUNT**0.5 / np.abs(before - labels).mean(), rel=0.35)
    assert not found.drowns


def test_one_sample_must_not_decide() -> None:
    """Models that answer alike tell nothing of a budget that is less than one sample, of those that have a label."""
    labels = np.where(np.arange(100) < 50, 1, -1)
    answers = np.ones(100, np.uint8)
    tight = loss_noise(KIND, Budget(1.0, "pt"), answers, answers, labels, split="test")
    assert (tight.samples, tight.error, tight.drowns) == (50, 2.0, True)
    assert not loss_noise(KIND, Budget(2.0, "pt"), answers, answers, labels, split="test").drowns


def test_a_handful_of_samples_says_nothing() -> None:
    """Whatever the budget."""
    few = loss_noise(SIZE, Budget(50.0, "%"), np.ones((9, 1)), np.ones((9, 1)), np.arange(9.0), split="validation")
    assert few.drowns
    assert str(few) == "the budget of size, 50 %, cannot be judged by 9 validation samples"


def test_what_is_said_names_task_budget_noise_and_samples() -> None:
    """And how many samples would tell: four times as many for half the noise."""
    noise = Noise(task="left", budget=Budget(0.1, "pt"), split="test", samples=5000, error=0.2)
    assert str(noise) == (
        "the budget of left, 0.1 pt, is less than the noise of 5,000 test samples: a loss on them has a standard error "
        "of 0.2 pt; it takes some 20,000 to tell"
    )
    none = Noise(task="left", budget=Budget(0.0, "%"), split="test", samples=1, error=0.2)
    assert str(none).endswith("the noise of 1 test sample: a loss on them has a standard error of 0.2 %")
