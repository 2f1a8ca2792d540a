"""Training learns, is repeatable, and stops at nonsense."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from mtl_edge.data.splits import SOURCE, Samples, Splits
from mtl_edge.errors import DataError, RecipeError
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.recipe import AugmentSpec, DistillSpec
from mtl_edge.train.learner import Learner
from mtl_edge.train.loop import fit
from mtl_edge.train.measure import measure
from mtl_edge.train.teacher import Teacher
from mtl_edge.train.training import FitOptions

MakeNet = Callable[[], MultiTaskNet]
Options = Callable[..., FitOptions]


def _equal(a: MultiTaskNet, b: MultiTaskNet) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"bf16": True},
        {"optimizer": "sgd", "nesterov": True, "learning_rate": 0.05},
        {"schedule": "cosine", "warmup_epochs": 0.5, "clip_norm": 1.0},
        {"schedule": "constant", "ema": 0.95},
        {"augment": AugmentSpec(shift=1, flip=True, cutout=2)},
        {"balance": "uw"},
        {"balance": "pcgrad", "weights": {"level": 0.5}},
    ],
    ids=str,
)
def test_a_learnable_problem_is_learned(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options, changed: dict[str, object]
) -> None:
    """Both tasks get far better than guessing, whatever the options."""
    history = fit(make_net(), learner, splits, options(epochs=6, **changed), title="test")
    assert len(history) == 6
    assert history[-1].metrics["bright"]["accuracy"] > 0.9
    assert history[-1].metrics["level"]["r2"] > 0.8


def test_the_same_seed_gives_the_same_weights(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options
) -> None:
    """To the last bit, and whatever chance there was before; another seed gives others."""
    nets = [make_net() for _ in range(3)]
    histories = []
    for net, seed in zip(nets, (3, 3, 4), strict=True):
        torch.randn(seed)
        given = options(seed=seed, augment=AugmentSpec(shift=1), balance="rlw")
        histories.append(fit(net, learner, splits, given, title="test"))
    assert histories[0] == histories[1] != histories[2]
    assert _equal(nets[0], nets[1])
    assert not _equal(nets[0], nets[2])


def test_a_student_follows_its_teacher_without_labels(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options
) -> None:
    """With all weight on the teacher, a student of a teacher that is wrong learns to be wrong."""
    wrong = Samples({**splits.train.arrays, "bright": 1 - splits.train["bright"]})
    teacher = make_net()
    fit(teacher, learner, Splits(wrong, splits.val, splits.calib, splits.test), options(), title="test")
    student = make_net()
    lesson = Teacher([teacher], DistillSpec(weight=1.0, temperature=2.0))
    fit(student, learner, splits, options(), title="test", teacher=lesson)
    assert measure(student, learner, splits.val, 32)["bright"]["accuracy"] < 0.2


def test_a_loss_that_is_no_number_stops_the_training(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options
) -> None:
    """The message says what to change."""
    with pytest.raises(DataError, match=r"losses must stay finite, found .* lower learning_rate"):
        fit(make_net(), learner, splits, options(epochs=2, learning_rate=1e30), title="test")


@pytest.mark.parametrize(("count", "batch_size"), [(33, 32), (2, 32), (3, 2)])
def test_a_lone_last_sample_does_not_stop_the_training(
    learner: Learner,
    make_net: MakeNet,
    options: Options,
    samples: Callable[[int], Samples],
    count: int,
    batch_size: int,
) -> None:
    """Batch norm cannot learn from a single value, so a last batch of one is left out."""
    few = samples(count)
    tiny = Samples({**few.arrays, "image": few["image"][:, :, :2, :2]})
    given = options(epochs=2, batch_size=batch_size)
    assert len(fit(make_net(), learner, Splits(tiny, tiny, tiny, tiny), given, title="test")) == 2


def test_one_sample_is_too_few(
    learner: Learner, make_net: MakeNet, options: Options, samples: Callable[[int], Samples]
) -> None:
    """One line instead of a network that learned nothing."""
    one = samples(1)
    with pytest.raises(DataError, match="the train split must have at least 2 samples, found 1"):
        fit(make_net(), learner, Splits(one, one, one, one), options(), title="test")


def test_samples_without_a_label_count_nowhere(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options
) -> None:
    """Even batches without any label of a task train, with each kind of balancing."""
    bright, level = splits.train["bright"].copy(), splits.train["level"].copy()
    bright[:500], level[:] = -1, np.nan
    sparse = Samples({**splits.train.arrays, "bright": bright, "level": level})
    for balance in ("equal", "gls", "pcgrad", "config", "imtl-g", "aligned-mtl", "gradvac", "excess-mtl"):
        net = make_net()
        given = options(epochs=1, balance=balance)
        (epoch,) = fit(net, learner, Splits(sparse, splits.val, splits.calib, splits.test), given, title="test")
        assert epoch.losses["level"] == 0
        assert all(torch.isfinite(tensor).all() for tensor in net.state_dict().values()), balance


def test_training_stops_without_progress_and_keeps_the_best(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options
) -> None:
    """With a learning rate that ruins what was learned, the weights are those of the epoch with the best metrics."""
    net = make_net()
    given = options(epochs=40, learning_rate=0.3, schedule="constant", optimizer="sgd", momentum=0.0, patience=2)
    history = fit(net, learner, splits, given, title="test")
    assert len(history) < 40
    found = measure(net, learner, splits.val, 32)
    assert found == history[-3].metrics


def test_the_best_epoch_is_kept_on_request(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options
) -> None:
    """What is kept measures as that epoch did, with the moving average too."""
    for ema in (None, 0.9):
        net = make_net()
        history = fit(net, learner, splits, options(keep="best", ema=ema, learning_rate=0.05), title="test")
        assert measure(net, learner, splits.val, 32) in [epoch.metrics for epoch in history]


def test_balanced_sampling_needs_sources(splits: Splits, learner: Learner, make_net: MakeNet, options: Options) -> None:
    """One line where the data has one source only; with sources it trains."""
    with pytest.raises(DataError, match="needs data from several sources"):
        fit(make_net(), learner, splits, options(sampling="balanced"), title="test")
    train = Samples({**splits.train.arrays, SOURCE: np.arange(512) % 3})
    two = Splits(train, splits.val, splits.calib, splits.test)
    assert len(fit(make_net(), learner, two, options(epochs=1, sampling="balanced"), title="test")) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_named(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options
) -> None:
    """With what there is instead."""
    with pytest.raises(RecipeError, match=r"train.device: 'cuda' is not there: torch .* finds .*cpu"):
        fit(make_net(), learner, splits, options(device="cuda"), title="test")


def test_a_method_that_looks_again_leaves_no_trace(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options
) -> None:
    """FAMO's second look at each batch does not count in the averages of batch norms."""
    net = make_net()
    fit(net, learner, splits, options(epochs=1, batch_size=128, balance="famo"), title="test")
    seen = [int(norm.num_batches_tracked) for norm in net.modules() if isinstance(norm, torch.nn.BatchNorm2d)]  # type: ignore[arg-type]
    assert seen
    assert set(seen) == {4}
