"""The networks of a run in fp32: the dense one, and what each step of ``[compress] order`` that trains makes.

Another step is another word of :data:`mtl_edge.recipe.compress.TrainedStep`, the name of its variant beside it, and a
``case`` of :func:`make_variants`; export, int8, measurement and report follow from there.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mtl_edge.errors import RecipeError
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.recipe import Recipe
from mtl_edge.recipe.compress import MADE_BY
from mtl_edge.recipe.student import student_of
from mtl_edge.stages.pruning import prune
from mtl_edge.stages.sparsifying import sparsify
from mtl_edge.stages.training import Network, TrainingStages
from mtl_edge.storage import Stage
from mtl_edge.tasks import budgets_of
from mtl_edge.train.transfer import Seen, make_transfers


@dataclass(frozen=True)
class Variant(Network):
    """A network that is a result: made by ``step``, from its ``parent``; the dense one has none.

    ``sparse`` is the pattern of its zeros, if it has any.
    """

    step: str
    parent: "Variant | None" = None
    sparse: str | None = None

    @property
    def ancestors(self) -> Iterator["Variant"]:
        """Its parent first, the dense network last."""
        if self.parent is not None:
            yield self.parent
            yield from self.parent.ancestors

    def nearest(self, names: Container[str]) -> "Variant | None":
        """The nearest of its ancestors that is among these."""
        return next((older for older in self.ancestors if older.name in names), None)

    def gives_way_to(self, older: "Variant") -> bool:
        """Whether it is no result where it is slower than an ancestor; zeros save only size, and may do so slowly."""
        return self.sparse is None or older is not self.parent

    @property
    def steps(self) -> tuple[str, ...]:
        """All that led to it, the training of the dense network first."""
        return (*(self.parent.steps if self.parent is not None else ()), self.step)


@dataclass(frozen=True)
class Networks:
    """The variants in the order of their steps, the dense one first, and what taught them beside the dense one.

    ``lesson`` is all whose answers are learned, by int8 networks too: the dense one is among them where it teaches.
    """

    variants: tuple[Variant, ...]
    teachers: tuple[Network, ...]
    lesson: tuple[Network, ...]


def dense_variant(stages: TrainingStages, data: Stage) -> Variant:
    """The one that all others follow, trained or found."""
    return Variant("dense", stages, stages.train(data), "train")


def make_variants(stages: TrainingStages, data: Stage) -> Networks:
    """All of them, trained or found; teachers are trained only where a step needs them.

    A step goes on with the network before it. A student starts from nothing, so what stood before it is not what it
    comes from: its parent is always the dense network, as it is for those who read of budgets and of what is slower.

    Raises:
        MtlEdgeError: anything that the caller can mend; what is wrong with a student is told before any training.
    """
    steps = stages.recipe.compress.trained
    student = stages.beside(student_of(stages.recipe), log_dir=stages.log_dir)
    if "student" in steps:
        _check(student, stages, data)
    dense = dense_variant(stages, data)
    if not steps and not _int8_learns(stages.recipe):
        return Networks((dense,), teachers=(), lesson=(dense,))
    teachers = stages.teachers(data, dense.stage)
    found = [dense]
    for step in steps:
        before, name = found[-1], MADE_BY[step]
        match step:
            case "student":
                found.append(Variant(name, student, student.train(data, teachers), "distill", dense))
            case "prune":
                pruned = prune(before, data, teachers, base=dense)
                found.append(Variant(name, before.stages, pruned, "prune + distill", before))
            case "sparsify":
                sparse = sparsify(before, data, teachers)
                pattern = stages.recipe.compress.zeros
                found.append(Variant(name, before.stages, sparse, f"sparsify {pattern}", before, pattern))
    others = (teacher for teacher in teachers if teacher.stage != dense.stage)
    return Networks(tuple(found), teachers=tuple(others), lesson=tuple(teachers))


def _int8_learns(recipe: Recipe) -> bool:
    """Whether int8 networks may be fine-tuned."""
    compress = recipe.compress
    match compress.quantize.finetune:
        case "never":
            return False
        case "if-needed":
            return "quantize" in compress.order and bool(budgets_of(recipe.tasks))
        case "always":
            return "quantize" in compress.order


def _check(student: TrainingStages, dense: TrainingStages, data: Stage) -> None:
    """See to it that a student can be built, and taught by teachers with the trunk of the dense network."""
    theirs = dense.untrained(data)
    distill = student.recipe.compress.distill
    try:
        mine = student.untrained(data)
        if distill.transfers:
            with torch.random.fork_rng(devices=[]):
                make_transfers(distill, _features(*mine), [_features(*theirs)])
    except RecipeError as error:
        raise RecipeError(f"compress.student: {error}") from error


def _features(net: MultiTaskNet, samples: Tensor) -> Seen:
    with torch.inference_mode():
        return dict(zip(net.tasks, net.eval().sharing(samples), strict=True))
