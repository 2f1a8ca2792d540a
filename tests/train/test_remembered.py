"""Answers of teachers are asked for once where they stay what they are, and only there."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mtl_edge.data.splits import Splits
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.recipe import DistillSpec
from mtl_edge.recipe.train import AugmentSpec
from mtl_edge.train import remembered as module
from mtl_edge.train.learner import Learner
from mtl_edge.train.loop import fit
from mtl_edge.train.remembered import remembered
from mtl_edge.train.teacher import Teacher
from mtl_edge.train.training import FitOptions

MakeNet = Callable[[], MultiTaskNet]
Options = Callable[..., FitOptions]
SAMPLES = 512
EPOCHS = 3


@pytest.fixture
def answered(make_net: MakeNet) -> tuple[MultiTaskNet, list[int]]:
    """A teacher, and of how many samples it has been asked each time."""
    counts: list[int] = []

    def count(_net: torch.nn.Module, inputs: tuple[Tensor, ...], _outputs: object) -> None:
        counts.append(len(inputs[0]))

    teacher = make_net().eval()
    teacher.sharing.register_forward_hook(count)
    return teacher, counts


@pytest.mark.parametrize(
    ("distill", "changes", "times"),
    [
        (DistillSpec(), {}, 1),
        (DistillSpec(), {"augment": AugmentSpec(shift=1)}, EPOCHS),
        (DistillSpec(), {"augment": AugmentSpec(flip=True)}, EPOCHS),
        (DistillSpec(), {"augment": AugmentSpec(cutout=2)}, EPOCHS),
        (DistillSpec(hint=1.0), {}, EPOCHS),
    ],
    ids=["as they are", "shifted", "mirrored", "cut", "features"],
)
def test_a_teacher_answers_again_only_what_is_new(
    answered: tuple[MultiTaskNet, list[int]],
    splits: Splits,
    learner: Learner,
    make_net: MakeNet,
    options: Options,
    distill: DistillSpec,
    changes: dict[str, object],
    times: int,
) -> None:
    """Every sample once, or in every epoch where the sample is another one or more than answers is learned."""
    teacher, counts = answered
    given = options(epochs=EPOCHS, **changes)
    fit(make_net(), learner, splits, given, title="test", teacher=Teacher([teacher], distill))
    few = 2 if distill.transfers else 0  # by which the adaptors are made
    assert sum(counts) == times * SAMPLES + few


def test_what_is_remembered_teaches_the_same(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A student of answers asked once is that of answers asked in every step, but for rounding."""
    students = []
    for most_bytes in (module.MOST_BYTES, 0):
        monkeypatch.setattr(module, "MOST_BYTES", most_bytes)
        student = make_net()
        lesson = Teacher([make_net()], DistillSpec(weight=1.0))
        fit(student, learner, splits, options(epochs=2), title="test", teacher=lesson)
        students.append(student)
    for once, always in zip(*(net.state_dict().values() for net in students), strict=True):
        torch.testing.assert_close(once, always, rtol=1e-3, atol=1e-4)


def test_answers_stand_in_the_order_of_the_samples(splits: Splits, learner: Learner, make_net: MakeNet) -> None:
    """Whatever the size of the batches, the last one smaller or not."""
    net = make_net().eval()
    with torch.no_grad():
        wanted = net(learner.inputs(splits.val))
        for size in (50, 64, 1000):
            found = remembered(net, learner, splits.val, size, title="test")
            assert found is not None
            for name, answers in wanted.items():
                torch.testing.assert_close(found[name], answers)


def test_what_would_fill_the_memory_is_not_remembered(
    answered: tuple[MultiTaskNet, list[int]], splits: Splits, learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is known after the first batch: two classes and a number take 12 bytes of each of the 128 samples."""
    net, counts = answered
    with torch.no_grad():
        monkeypatch.setattr(module, "MOST_BYTES", 12 * 128 - 1)
        assert remembered(net, learner, splits.val, 32, title="test") is None
        assert counts == [32]
        monkeypatch.setattr(module, "MOST_BYTES", 12 * 128)
        assert remembered(net, learner, splits.val, 32, title="test") is not None


def test_a_training_that_was_killed_goes_on_bit_by_bit(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options, tmp_path: Path
) -> None:
    """The answers are asked for again in the same batches, so that they have the same bits."""
    given = options(epochs=2, checkpoint_seconds=0.0)
    nets: Sequence[MultiTaskNet] = [make_net(), make_net()]
    for net in nets:  # the second one goes on from the last checkpoint, in the last epoch
        lesson = Teacher([make_net()], DistillSpec(weight=0.5))
        fit(net, learner, splits, given, title="test", teacher=lesson, checkpoint=tmp_path)
    assert (tmp_path / "checkpoint.pt").exists()
    assert all(torch.equal(a, b) for a, b in zip(*(net.state_dict().values() for net in nets), strict=True))
