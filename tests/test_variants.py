"""Each step of ``[compress] order`` goes on with what the one before it has left."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mtl_edge.compress.outcome import Sparsified
from mtl_edge.errors import RecipeError
from mtl_edge.recipe import (
    CompressSpec,
    CustomTrunkSpec,
    DistillSpec,
    NetSpec,
    PruneSpec,
    QuantizeSpec,
    Recipe,
    ResNetSpec,
    SparsifySpec,
    StudentSpec,
    TextCNNSpec,
    TrainSpec,
)
from mtl_edge.recipe.compress import Step
from mtl_edge.storage import StageCache
from mtl_edge.training_stages import SPARSIFIED_FILE, TrainingStages
from mtl_edge.variants import make_variants

pytestmark = pytest.mark.usefixtures("tiny_data")

DENSE = DistillSpec()
SMALL = StudentSpec(net=ResNetSpec(width=16, depth=(1,), head_hidden=8), epochs=2)


def _stages(tiny: Recipe, folder: Path, *order: Step, distill: DistillSpec = DENSE, **tables: Any) -> TrainingStages:
    """Stages of the tiny recipe, whose network is wide enough to be pruned."""
    compress = CompressSpec(order=order, prune=PruneSpec(epochs=1), distill=distill, **tables)
    train = TrainSpec(epochs=1, batch_size=8, device="cpu", precision="fp32")
    net = ResNetSpec(width=24, depth=(1,), head_hidden=8)
    recipe = msgspec.structs.replace(tiny, net=net, train=train, compress=compress)
    return TrainingStages(recipe, StageCache(folder / "stages"))


def _made(folder: Path) -> list[str]:
    return sorted(path.name.rpartition("-")[0] for path in (folder / "stages").iterdir())


def test_a_student_is_taught_and_then_pruned(tiny_recipe: Recipe, tmp_path: Path) -> None:
    """In its own shape, by teachers that are no students; asked again, all is done before."""
    teach = DistillSpec(teacher="single-task", hint=1.0, attention=1.0)
    stages = _stages(tiny_recipe, tmp_path, "student", "prune", "quantize", student=SMALL, distill=teach)
    data = stages.data()
    networks = make_variants(stages, data)
    dense, student, pruned = networks.variants
    assert [variant.name for variant in networks.variants] == ["dense", "student", "pruned"]
    assert pruned.steps == ("train", "distill", "prune + distill")
    assert list(pruned.ancestors) == [student, dense]
    assert pruned.nearest({"dense", "pruned"}) == dense
    widths = [variant.net(data).sharing.trunk.channels[0] for variant in (dense, student)]
    assert widths == [24, 16]
    counts = [variant.net(data).parameter_count for variant in networks.variants]
    assert counts[0] > counts[1] > counts[2]
    assert [len(variant.history) for variant in networks.variants] == [1, 2, 1]
    assert {teacher.name: set(teacher.metrics) for teacher in networks.teachers} == {
        "teacher/kind": {"kind"},
        "teacher/size": {"size"},
    }
    made = _made(tmp_path)
    assert made == ["data", "prune", "student", "train", "train", "train"]
    again = make_variants(stages, data)
    assert [variant.stage for variant in again.variants] == [variant.stage for variant in networks.variants]
    assert _made(tmp_path) == made

    other = _stages(tiny_recipe, tmp_path, "prune", "student", student=SMALL, distill=teach)
    first, second, third = make_variants(other, data).variants
    assert (second.name, second.parent, third.name, third.parent) == ("pruned", first, "student", first)
    assert third.stage == student.stage  # what stands before it does not change it
    assert second.stage != pruned.stage


def test_a_pruned_network_becomes_sparse(tiny_recipe: Recipe, tmp_path: Path) -> None:
    """In its shape, with the zeros of the mask; it may be slower than the same without them, but than no other."""
    stages = _stages(tiny_recipe, tmp_path, "prune", "sparsify", sparsify=SparsifySpec(pattern=0.5, epochs=1))
    data = stages.data()
    dense, pruned, sparse = make_variants(stages, data).variants
    assert (sparse.name, sparse.parent, sparse.sparse) == ("sparse", pruned, "0.5")
    assert sparse.steps == ("train", "prune + distill", "sparsify 0.5")
    assert (sparse.gives_way_to(pruned), sparse.gives_way_to(dense), pruned.gives_way_to(dense)) == (False, True, True)
    before, after = (dict(variant.net(data).named_parameters()) for variant in (pruned, sparse))
    assert {name: value.shape for name, value in before.items()} == {name: value.shape for name, value in after.items()}
    told = msgspec.json.decode((sparse.stage.folder / SPARSIFIED_FILE).read_bytes(), type=Sparsified)
    assert told.zeros == sum(int((value == 0).sum()) for value in after.values() if value.ndim > 1)
    assert told.zeros == round(told.weights / 2) > 0


def test_int8_networks_have_teachers_of_their_own_where_nothing_else_learns(
    tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """They are trained only where int8 networks may be fine-tuned."""
    teach = DistillSpec(teacher="single-task")
    taught = {}
    for when in ("if-needed", "always"):  # no task has a budget
        stages = _stages(tiny_recipe, tmp_path, "quantize", distill=teach, quantize=QuantizeSpec(finetune=when))
        taught[when] = [network.name for network in make_variants(stages, stages.data()).lesson]
    assert taught == {"if-needed": ["dense"], "always": ["teacher/kind", "teacher/size"]}


def test_another_teacher_is_another_student(tiny_recipe: Recipe, tmp_path: Path) -> None:
    """The dense network alone by default, which is no teacher beside the variants; it is trained once for both."""
    born_again = StudentSpec()
    stages = _stages(tiny_recipe, tmp_path, "student", student=born_again)
    data = stages.data()
    networks = make_variants(stages, data)
    assert networks.teachers == ()
    weighed = _stages(tiny_recipe, tmp_path, "student", student=born_again, distill=DistillSpec(weight=0.5))
    assert make_variants(weighed, data).variants[1].stage != networks.variants[1].stage
    assert _made(tmp_path) == ["data", "student", "student", "train"]


def test_nobody_is_taught_where_no_step_trains(tiny_recipe: Recipe, tmp_path: Path) -> None:
    """Int8 alone takes the dense network as it is, and needs none of the teachers."""
    stages = _stages(tiny_recipe, tmp_path, "quantize", distill=DistillSpec(teacher="single-task"))
    networks = make_variants(stages, stages.data())
    assert [variant.name for variant in networks.variants] == ["dense"]
    assert _made(tmp_path) == ["data", "train"]


@pytest.mark.parametrize(
    ("student", "distill", "message"),
    [
        (
            TextCNNSpec(),
            DistillSpec(),
            r"compress\.student: net\.trunk: 'textcnn' reads text, found inputs of shape \(1, 8, 8\)",
        ),
        (
            CustomTrunkSpec(factory="vectors_only:make"),
            DistillSpec(attention=1.0),
            r"compress\.student: compress\.distill\.attention: needs maps of images or sequences in the trunks",
        ),
    ],
    ids=["another kind of input", "no maps"],
)
def test_a_student_that_cannot_be_taught_is_told_before_any_training(
    tiny_recipe: Recipe, tmp_path: Path, student: NetSpec, distill: DistillSpec, message: str
) -> None:
    """The dense network might take hours."""
    (tiny_recipe.folder / "vectors_only.py").write_text(
        "from torch import nn\n\n\ndef make(shape):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8))\n"
    )
    spec = StudentSpec(net=student)
    stages = _stages(tiny_recipe, tmp_path, "student", student=spec, distill=distill)
    with pytest.raises(RecipeError, match=message):
        make_variants(stages, stages.data())
    assert _made(tmp_path) == ["data"]
