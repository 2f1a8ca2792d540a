"""Teachers are stages of their own, which are found again."""

from pathlib import Path

import msgspec
import pytest

from mtl_edge.recipe import CompressSpec, DistillSpec, PruneSpec, Recipe, TrainSpec
from mtl_edge.recipe.alone import alone
from mtl_edge.stages.pruning import prune
from mtl_edge.stages.training import Network, TrainingStages
from mtl_edge.storage import StageCache

pytestmark = pytest.mark.usefixtures("tiny_data")


def _recipe(tiny: Recipe, distill: DistillSpec) -> Recipe:
    compress = CompressSpec(prune=PruneSpec(epochs=1), distill=distill)
    train = TrainSpec(epochs=1, batch_size=8, device="cpu", precision="fp32")
    return msgspec.structs.replace(tiny, train=train, compress=compress)


def _trainings(cache: StageCache) -> list[str]:
    return sorted(folder.name for folder in cache.root.glob("train-*"))


@pytest.mark.parametrize(
    ("distill", "tasks", "trained"),
    [
        (DistillSpec(), [("kind", "size")], 1),
        (DistillSpec(teacher="single-task", hint=1.0), [("kind",), ("size",)], 3),
        (DistillSpec(teacher="ensemble", members=2, attention=1.0), [("kind", "size")] * 2, 2),
    ],
    ids=["dense", "single-task", "ensemble"],
)
def test_each_teacher_is_trained_once(
    tiny_recipe: Recipe, tmp_path: Path, distill: DistillSpec, tasks: list[tuple[str, ...]], trained: int
) -> None:
    """The dense network is a member of the ensemble; asked again, all are done before, the pruned network too."""
    cache = StageCache(tmp_path / "stages")
    stages = TrainingStages(_recipe(tiny_recipe, distill), cache)
    data = stages.data()
    dense = stages.train(data)
    teachers = stages.teachers(data, dense)
    assert [teacher.net(data).tasks for teacher in teachers] == tasks
    assert len({teacher.stage.digest for teacher in teachers}) == len(teachers)
    assert len(_trainings(cache)) == trained
    whole = Network("dense", stages, dense)
    pruned = prune(whole, data, teachers)
    folders = sorted(path.name for path in cache.root.iterdir())
    assert prune(whole, data, stages.teachers(data, dense)) == pruned
    assert sorted(path.name for path in cache.root.iterdir()) == folders


def test_single_task_teachers_are_the_single_task_networks(tiny_recipe: Recipe, tmp_path: Path) -> None:
    """A run that trains each task alone for comparison trains nothing more to teach."""
    recipe = _recipe(tiny_recipe, DistillSpec(teacher="single-task", weights={"kind": 0.5}))
    cache = StageCache(tmp_path / "stages")
    stages = TrainingStages(recipe, cache)
    data = stages.data()
    teachers = stages.teachers(data, stages.train(data))
    before = _trainings(cache)
    for task, teacher in zip(recipe.tasks, teachers, strict=True):
        assert TrainingStages(alone(recipe, task), cache).train(data) == teacher.stage
    assert _trainings(cache) == before
    weights = [alone(recipe, task).compress.distill.weights for task in recipe.tasks]
    assert weights == [{"kind": 0.5}, {}]
