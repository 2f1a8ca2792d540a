"""Pruning in steps: each is a stage that is found again, and they end where a task has lost too much.

The network is fine-tuned so slowly that nothing heals, so each step loses more than the one before.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import msgspec
import numpy as np
import pytest
import torch

from mtl_edge.compress.outcome import Pruned, Schedule
from mtl_edge.nets.checkpoint import read_weights
from mtl_edge.recipe import CompressSpec, DataSpec, MLPSpec, PruneSpec, Recipe, TrainSpec
from mtl_edge.stages import training as training_stages
from mtl_edge.stages.pruning import PRUNED_FILE, noise_of_budgets, prune
from mtl_edge.stages.training import HISTORY_FILE, WEIGHTS_FILE, Network, TrainingStages
from mtl_edge.storage import Stage, StageCache
from mtl_edge.tasks import Regression

STEPS = PruneSpec(ratio=0.8, round_to=2, steps=3, epochs=4, learning_rate=1e-9)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> StageCache:
    """All stages of this file."""
    return StageCache(tmp_path_factory.mktemp("stages"))


@pytest.fixture(scope="module")
def make(cache: StageCache, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrainingStages]:
    """The stages of a small recipe with such a pruning and such a budget."""
    folder, rng = tmp_path_factory.mktemp("recipe"), np.random.default_rng(0)
    features = rng.normal(size=(400, 6)).astype(np.float32)
    np.savez(folder / "data.npz", x=features, up=features[:, 0] * features[:, 1], down=np.abs(features[:, 2]))

    def stages(prune: PruneSpec = STEPS, max_drop: str | None = None) -> TrainingStages:
        recipe = Recipe(
            name="steps",
            folder=folder,
            data=DataSpec(source="npz:data.npz", input="x", calibration=16),
            tasks=(Regression(name="up", target="up", max_drop=max_drop), Regression(name="down", target="down")),
            net=MLPSpec(widths=(32, 32), head_hidden=16),
            train=TrainSpec(epochs=12, batch_size=32, device="cpu", precision="fp32"),
            compress=CompressSpec(prune=prune),
        )
        return TrainingStages(recipe, cache)

    return stages


def _pruned(stages: TrainingStages) -> Stage:
    data = stages.data()
    dense = stages.train(data)
    return prune(Network("dense", stages, dense), data, stages.teachers(data, dense))


def _told(stage: Stage) -> tuple[Pruned, Schedule]:
    found = msgspec.json.decode((stage.folder / PRUNED_FILE).read_bytes(), type=Pruned)
    assert found.schedule is not None
    return found, found.schedule


@pytest.fixture(scope="module")
def taken(make: Callable[..., TrainingStages]) -> Stage:
    """What three steps leave that nothing stops."""
    return _pruned(make())


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is trained in a test, by the title of its progress bar."""
    titles: list[str] = []
    honest = training_stages.fit

    def watched(*arguments: object, title: str, **options: object) -> object:
        titles.append(title)
        return honest(*arguments, title=title, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training_stages, "fit", watched)
    return titles


def test_steps_end_where_one_step_does(taken: Stage, make: Callable[..., TrainingStages]) -> None:
    """As many channels are left in each layer, of equal factors on the way; the epochs are shared out."""
    once = _pruned(make(msgspec.structs.replace(STEPS, steps=1)))
    shapes = [
        {name: weights.shape for name, weights in read_weights(stage.folder / WEIGHTS_FILE).items()}
        for stage in (once, taken)
    ]
    assert shapes[0] == shapes[1]
    found, schedule = _told(taken)
    assert sorted((group.channels, group.kept) for group in found.groups) == [(16, 2), (16, 2), (32, 6), (32, 6)]
    assert [step.epochs for step in schedule.steps] == [1, 1, 2]
    assert len(msgspec.json.decode((taken.folder / HISTORY_FILE).read_bytes())) == 2
    sizes = [schedule.parameters, *(step.parameters for step in schedule.steps)]
    assert all(after < before for before, after in pairwise(sizes))
    assert (schedule.planned, schedule.kept) == (3, 3)


def test_each_step_goes_on_with_what_the_one_before_left(taken: Stage, cache: StageCache) -> None:
    """What it keeps of the first layer is a choice among the weights there."""
    (first,) = (read_weights(path) for path in cache.root.glob(f"prune-1-*/{WEIGHTS_FILE}"))
    (second,) = (read_weights(path) for path in cache.root.glob(f"prune-2-*/{WEIGHTS_FILE}"))
    (name,) = (name for name, weights in first.items() if weights.ndim == 2 and weights.shape[1] == 6)
    assert len(second[name]) < len(first[name])
    assert float(torch.cdist(second[name], first[name]).amin(dim=1).max()) < 1e-3


def test_a_killed_step_is_the_only_one_to_be_done_again(
    taken: Stage, make: Callable[..., TrainingStages], monkeypatch: pytest.MonkeyPatch, fits: list[str]
) -> None:
    """What was finished before is found, and the result is that of a run that nothing interrupted."""
    prune = msgspec.structs.replace(STEPS, learning_rate=2e-9)
    stages = make(prune)
    watched = training_stages.fit

    def killed(*arguments: object, title: str, **options: object) -> object:
        if title == "fine-tune 3/3":
            raise KeyboardInterrupt
        return watched(*arguments, title=title, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(training_stages, "fit", killed)
        with pytest.raises(KeyboardInterrupt):
            _pruned(stages)
    assert fits == ["fine-tune 1/3", "fine-tune 2/3"]
    _pruned(make(prune))
    assert fits[2:] == ["fine-tune 3/3"]


def test_steps_end_where_a_task_has_lost_too_much(
    taken: Stage, make: Callable[..., TrainingStages], fits: list[str]
) -> None:
    """The last one within all budgets is the result; no step is trained again, none after the miss is asked for."""
    _, schedule = _told(taken)
    before = schedule.metrics["up"]["mae"]
    losses = [100 * (step.metrics["up"]["mae"] / before - 1) for step in schedule.steps]
    assert losses[0] < losses[1] < losses[2]
    stopping = msgspec.structs.replace(STEPS, stop="budget")
    cases = {
        f"{losses[2] + 1:.2f}%": (3, 3, ()),
        f"{(losses[1] + losses[2]) / 2:.2f}%": (3, 2, ("up",)),
        f"{losses[0] / 2:.2f}%": (1, 1, ("up",)),
    }
    for max_drop, (count, kept, missed) in cases.items():
        stage = _pruned(make(stopping, max_drop))
        _, found = _told(stage)
        assert (len(found.steps), found.kept) == (count, kept)
        assert tuple(each.task for each in found.steps[-1].missed) == missed
        parameters = make(stopping).trained(make().data(), stage).parameter_count
        assert parameters == schedule.steps[kept - 1].parameters
    assert fits == []


def test_losses_are_counted_from_the_dense_network_whatever_is_pruned(
    taken: Stage, make: Callable[..., TrainingStages]
) -> None:
    """Against one that is as bad as the result, no step has lost anything."""
    stages = make(msgspec.structs.replace(STEPS, stop="budget"), "0.01%")
    data = stages.data()
    dense = stages.train(data)
    base = Network("base", stages, taken)
    stage = prune(Network("dense", stages, dense), data, stages.teachers(data, dense), base=base)
    _, found = _told(stage)
    assert found.kept == 3
    assert found.metrics == found.steps[-1].metrics


def test_one_step_may_be_over_budget_too(make: Callable[..., TrainingStages]) -> None:
    """It is the nearest miss, and marked."""
    _, found = _told(_pruned(make(msgspec.structs.replace(STEPS, steps=1, stop="budget"), "0%")))
    assert (found.planned, found.kept, len(found.steps[0].missed)) == (1, 1, 1)


def test_noise_is_told_of_tasks_with_a_budget(taken: Stage, make: Callable[..., TrainingStages]) -> None:
    """On the validation and on the test samples; nothing is looked at where no task has one."""
    stages = make(max_drop="0.1%")
    data = stages.data()
    noises = noise_of_budgets(stages, data, stages.train(data), Network("pruned", stages, taken))
    assert [(noise.split, noise.samples) for noise in noises] == [("validation", 40), ("test", 80)]
    assert all(noise.task == "up" and noise.drowns for noise in noises)
    assert noise_of_budgets(make(), data, stages.train(data), Network("pruned", stages, taken)) == ()
