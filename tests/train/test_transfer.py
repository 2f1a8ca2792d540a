"""Several teachers, and what is learned of their features."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mtl_edge.artifact import ModelInput
from mtl_edge.data.splits import Samples, Splits
from mtl_edge.errors import RecipeError
from mtl_edge.nets.build import build_net
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.nets.trunks.base import Features
from mtl_edge.recipe import DistillSpec, MobileNetSpec, NetSpec, ResNetSpec
from mtl_edge.train.learner import Learner
from mtl_edge.train.loop import fit
from mtl_edge.train.measure import measure
from mtl_edge.train.teacher import Teacher, agreed
from mtl_edge.train.training import FitOptions
from mtl_edge.train.transfer import Attention, Hint, make_transfers

MakeNet = Callable[[], MultiTaskNet]
Options = Callable[..., FitOptions]
WAYS = [DistillSpec(hint=1.0), DistillSpec(attention=1.0), DistillSpec(hint=0.5, attention=2.0)]


def _net(learner: Learner, spec: NetSpec, tasks: Sequence[str] = ("bright", "level")) -> MultiTaskNet:
    torch.manual_seed(1)
    source = ModelInput(name="image", dtype="float32", shape=("batch", 1, 8, 8), preprocessing=learner.preprocessing)
    return build_net(spec, [task for task in learner.tasks if task.name in tasks], source, learner.statistics).eval()


def _features(channels: int, size: int = 4, seed: int = 0) -> Features:
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(5, channels, side, side, generator=generator) for side in (2 * size, size)]
    return Features(tuple(maps), maps[-1].mean((2, 3)))


def _vectors(width: int) -> Features:
    return Features((), torch.randn(5, width, generator=torch.Generator().manual_seed(width)))


def test_teachers_of_one_task_each_teach_all_tasks(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options
) -> None:
    """A student of two teachers of one task each, one of which is wrong, follows both."""
    wrong = Samples({**splits.train.arrays, "bright": 1 - splits.train["bright"]})
    teachers = []
    for task, train in zip(learner.tasks, (wrong, splits.train), strict=True):
        own = Learner([task], learner.statistics, learner.preprocessing, learner.input)
        net = _net(learner, ResNetSpec(width=8, depth=(1,), head_hidden=8), [task.name])
        fit(net, own, Splits(train, splits.val, splits.calib, splits.test), options(), title="test")
        teachers.append(net)
    student = make_net()
    lesson = Teacher(teachers, DistillSpec(weight=1.0))
    fit(student, learner, splits, options(epochs=6), title="test", teacher=lesson)
    found = measure(student, learner, splits.val, 32)
    assert found["bright"]["accuracy"] < 0.2
    assert found["level"]["r2"] > 0.8


def test_a_task_has_a_weight_of_its_own(splits: Splits, learner: Learner, make_net: MakeNet, options: Options) -> None:
    """Of a teacher that knows nothing, the task that listens learns nothing, and the other one learns its labels."""
    ignorant = make_net()
    student = make_net()
    lesson = Teacher([ignorant], DistillSpec(weight=0.0, weights={"level": 1.0}))
    fit(student, learner, splits, options(epochs=6), title="test", teacher=lesson)
    found = measure(student, learner, splits.val, 32)
    assert found["bright"]["accuracy"] > 0.9
    assert found["level"]["r2"] < 0.5


def test_several_teachers_agree_on_the_mean() -> None:
    """Each task's mean is over those that have the task."""
    first, second = {"a": torch.tensor([[1.0]]), "b": torch.tensor([[5.0]])}, {"a": torch.tensor([[3.0]])}
    assert agreed([first, second]) == {"a": torch.tensor([[2.0]]), "b": torch.tensor([[5.0]])}


def test_teachers_answer_arrays_as_one_model_does(learner: Learner, splits: Splits) -> None:
    """What teaches in torch teaches int8 models too: named outputs, and the means of those that have the task."""
    both, level = (_net(learner, ResNetSpec(width=8, depth=(1,)), names) for names in (("bright", "level"), ("level",)))
    batch = learner.inputs(splits.val, slice(3))
    teacher = Teacher([both, level], DistillSpec())
    assert [output.name for output in teacher.get_outputs()] == ["bright", "level"]
    answers = teacher.run(["level", "bright"], {"image": batch.numpy()})
    with torch.no_grad():
        first, second = both(batch), level(batch)
    wanted = [(first["level"] + second["level"]) / 2, first["bright"]]
    for found, answer in zip(answers, wanted, strict=True):
        torch.testing.assert_close(torch.from_numpy(found), answer)


def test_a_teacher_with_other_tasks_is_refused(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options
) -> None:
    """One line says which tasks there must be, which there are, and what is missing."""
    teacher = _net(learner, ResNetSpec(width=8, depth=(1,)), ["level"])
    with pytest.raises(RecipeError) as caught:
        fit(make_net(), learner, splits, options(), title="test", teacher=Teacher([teacher], DistillSpec()))
    assert str(caught.value) == (
        "compress.distill.teacher: must have the tasks bright, level, found level, without bright"
    )


@pytest.mark.parametrize("spec", WAYS, ids=["hint", "attention", "both"])
@pytest.mark.parametrize("trunk", [ResNetSpec(width=16, depth=(1,)), MobileNetSpec(width=0.5)], ids=["wider", "other"])
def test_features_of_another_network_are_learned(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options, spec: DistillSpec, trunk: NetSpec
) -> None:
    """The student's features come closer to the teacher's, and nothing of what brought them there stays in it."""
    teacher, student = _net(learner, trunk), make_net()
    names = list(student.state_dict())

    def apart(net: MultiTaskNet) -> float:
        inputs = learner.inputs(splits.val)
        with torch.no_grad():
            mine, theirs = net.eval().sharing(inputs)[0], teacher.sharing(inputs)[0]
            return float(Attention(mine, theirs)(mine, theirs).mean())

    before = apart(student)
    history = fit(student, learner, splits, options(epochs=2), title="test", teacher=Teacher([teacher], spec))
    assert len(history) == 2
    assert list(student.state_dict()) == names
    if spec.attention:
        assert apart(student) < before


def test_a_training_with_hints_goes_on_bit_by_bit(
    splits: Splits, learner: Learner, make_net: MakeNet, options: Options, tmp_path: Path
) -> None:
    """What adaptors have learned is written down too: killed and continued, the weights are those of one go."""
    lesson = Teacher([_net(learner, ResNetSpec(width=16, depth=(1,)))], DistillSpec(hint=1.0))
    given = options(epochs=2, checkpoint_seconds=0.0, balance="pcgrad")
    whole = make_net()
    fit(whole, learner, splits, given, title="test", teacher=lesson, checkpoint=tmp_path / "whole")
    assert (tmp_path / "whole" / "checkpoint.pt").exists()
    again = make_net()
    fit(again, learner, splits, given, title="test", teacher=lesson, checkpoint=tmp_path / "whole")
    pairs = zip(whole.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def _distance(way: type[Hint | Attention], student: Features, teacher: Features) -> Tensor:
    torch.manual_seed(0)
    found: Tensor = way(student, teacher)(student, teacher)
    return found


@pytest.mark.parametrize("way", [Hint, Attention])
@pytest.mark.parametrize(("channels", "size"), [(3, 4), (6, 2), (2, 5)])
def test_distances_do_not_depend_on_scale(way: type[Hint | Attention], channels: int, size: int) -> None:
    """Between 0 and 4 for any channels and sizes, and the same for a teacher of ten times the values."""
    student, teacher = _features(3), _features(channels, size, seed=1)
    large = Features(tuple(10 * part for part in teacher.maps), 10 * teacher.pooled)
    found = _distance(way, student, teacher)
    assert found.shape == (5,)
    assert bool(((found > 0) & (found <= 4)).all())
    torch.testing.assert_close(found, _distance(way, student, large))


def test_hints_teach_the_student_and_its_adaptor() -> None:
    """Both have gradients of the distance, and the teacher has none."""
    student, teacher = _features(3), _features(6, seed=1)
    for part in student.maps:
        part.requires_grad_()
    way = Hint(student, teacher)
    way(student, teacher).mean().backward()
    assert way.adaptor.weight.grad is not None
    assert student.maps[-1].grad is not None
    assert bool((student.maps[-1].grad != 0).any())
    assert all(part.grad is None for part in teacher.maps)


def test_equal_attention_is_no_distance() -> None:
    """Whatever the channels: only where maps are large counts."""
    features = _features(4)
    shuffled = Features(tuple(part.flip(1) for part in features.maps), features.pooled)
    assert float(_distance(Attention, features, shuffled).abs().max()) < 1e-6


def test_vectors_have_hints_and_no_attention() -> None:
    """Networks without maps compare their features; attention is refused in one line."""
    assert _distance(Hint, _vectors(4), _vectors(6)).shape == (5,)
    assert _distance(Hint, _features(4), _vectors(6)).shape == (5,)
    with pytest.raises(RecipeError, match=r"attention: needs maps of images or sequences .* found \(4,\) and \(6,\)"):
        Attention(_vectors(4), _vectors(6))


def test_every_teacher_of_a_task_counts_the_same() -> None:
    """The factor is shared by the teachers that have the task."""
    student = {"a": _features(3), "b": _features(3)}
    teachers = [{"a": _features(4, seed=1)}, {"a": _features(4, seed=1), "b": _features(4, seed=1)}]
    made = make_transfers(DistillSpec(attention=2.0), student, teachers)
    assert [place[2] for place in made.places] == [1.0, 1.0, 2.0]
    found = made(student, teachers)
    torch.testing.assert_close(found["a"], found["b"])
