"""What a student learns of its teachers' features, beside their answers.

Each way is a module from a task's features, the student's and a teacher's, to distances ``(N,)`` between 0 and 4; those
of several teachers are averaged. What a way learns itself is dropped with it when the training ends. Another way is
another such class, with its factor in :class:`mtl_edge.recipe.DistillSpec` and a line in :func:`make_transfers`.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_edge.errors import RecipeError
from mtl_edge.nets.trunks.base import Features
from mtl_edge.recipe import DistillSpec

Seen = Mapping[str, Features]
"""Task -> what a network's head for it reads."""


class Hint(nn.Module):
    """The last map, after a 1x1 convolution of the student's, which brings it to the teacher's channels.

    Romero et al. 2015, arXiv:1412.6550; of unit length and with an adaptor for each task and teacher, as Li & Bilen
    2020, arXiv:2007.06889.
    """

    def __init__(self, student: Features, teacher: Features) -> None:
        super().__init__()
        mine, theirs = _alike(_last(student), _last(teacher)) or (student.pooled, teacher.pooled)
        self.adaptor = nn.Conv1d(mine.shape[1], theirs.shape[1], 1)

    def forward(self, student: Features, teacher: Features) -> Tensor:
        """Features -> distances ``(N,)``."""
        mine, theirs = _alike(_last(student), _last(teacher)) or (student.pooled, teacher.pooled)
        return _distance(self.adaptor(mine.flatten(2) if mine.ndim > 2 else mine[:, :, None]), theirs)


class Attention(nn.Module):
    """Where the maps are large: squares summed over channels (Zagoruyko & Komodakis 2017, arXiv:1612.03928).

    Of every stage where the two have as many, or else of the last one; maps of one place say nothing.

    Raises:
        RecipeError: there is no map with places in it.
    """

    def __init__(self, student: Features, teacher: Features) -> None:
        super().__init__()
        if not self._pairs(student, teacher):
            found = [tuple(part.shape[1:]) for part in (_last(student), _last(teacher))]
            raise RecipeError(
                "compress.distill.attention: needs maps of images or sequences in the trunks of student and teacher, "
                f"found {found[0]} and {found[1]}"
            )

    def forward(self, student: Features, teacher: Features) -> Tensor:
        """Features -> distances ``(N,)``."""
        pairs = self._pairs(student, teacher)
        return torch.stack([_distance(*(part.square().sum(1) for part in pair)) for pair in pairs]).mean(dim=0)

    @staticmethod
    def _pairs(student: Features, teacher: Features) -> list[tuple[Tensor, Tensor]]:
        mine, theirs = ([part for part in features.maps if part[0, 0].numel() > 1] for features in (student, teacher))
        if len(mine) != len(theirs):
            mine, theirs = mine[-1:], theirs[-1:]
        pairs = (_alike(*pair) for pair in zip(mine, theirs, strict=False))
        return [pair for pair in pairs if pair is not None]


class Transfers(nn.Module):
    """All ways that a recipe asks for, each with its factor, for each task and each teacher that has it."""

    def __init__(self, ways: Sequence[tuple[str, int, float, nn.Module]]) -> None:
        super().__init__()
        self.places = tuple((task, teacher, factor) for task, teacher, factor, _ in ways)
        self.ways = nn.ModuleList(way for *_, way in ways)

    def forward(self, student: Seen, teachers: Sequence[Seen]) -> dict[str, Tensor]:
        """What networks have seen in the same batch -> task -> distances ``(N,)``, each times its factor."""
        found: dict[str, Tensor] = {}
        for (task, number, factor), way in zip(self.places, self.ways, strict=True):
            part = factor * way(student[task], teachers[number][task])
            found[task] = found[task] + part if task in found else part
        return found


def make_transfers(spec: DistillSpec, student: Seen, teachers: Sequence[Seen]) -> Transfers:
    """The ways that a recipe asks for, made for features such as these.

    Raises:
        RecipeError: features that a way cannot compare.
    """
    kinds = [(kind, factor) for kind, factor in ((Hint, spec.hint), (Attention, spec.attention)) if factor]
    ways = []
    for task, own in student.items():
        having = [number for number, seen in enumerate(teachers) if task in seen]
        for number in having:
            ways += [(task, number, factor / len(having), kind(own, teachers[number][task])) for kind, factor in kinds]
    return Transfers(ways)


def _last(features: Features) -> Tensor:
    return features.maps[-1] if features.maps else features.pooled


def _alike(mine: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor] | None:
    """Two maps brought to the smaller one's size; None where they have no places in common."""
    if mine.ndim != theirs.ndim or mine.ndim < 3:
        return None
    size = [min(pair) for pair in zip(mine.shape[2:], theirs.shape[2:], strict=True)]
    return _pooled(mine, size), _pooled(theirs, size)


def _pooled(part: Tensor, size: list[int]) -> Tensor:
    """A map at another size."""
    if list(part.shape[2:]) == size:
        return part
    if part.ndim == 3:
        return functional.adaptive_avg_pool1d(part, size[0])
    return functional.adaptive_avg_pool2d(part, (size[0], size[1]))


def _distance(mine: Tensor, theirs: Tensor) -> Tensor:
    """The squared distance of two batches, each sample brought to unit length, ``(N,)``."""
    mine, theirs = (functional.normalize(part.flatten(1), dim=1) for part in (mine, theirs))
    return (mine - theirs).square().sum(dim=1)
