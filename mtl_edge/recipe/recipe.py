"""A whole recipe."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from mtl_edge.recipe.bench import BenchSpec
from mtl_edge.recipe.compress import CompressSpec
from mtl_edge.recipe.data import DataSpec
from mtl_edge.recipe.net import CustomNetSpec, MLPSpec, NetSpec
from mtl_edge.recipe.train import TrainSpec
from mtl_edge.tasks import Task


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole recipe; ``name`` is the name of its folder or file, ``folder`` is what relative paths start from.

    With ``single_task``, each task is also trained, compressed and measured alone, which shows what sharing gave.
    """

    name: str
    folder: Path
    data: DataSpec
    tasks: tuple[Task, ...]
    net: NetSpec
    train: TrainSpec = TrainSpec()
    compress: CompressSpec = CompressSpec()
    bench: BenchSpec = BenchSpec()
    single_task: bool = False
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0

    def __post_init__(self) -> None:
        names = [task.name for task in self.tasks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"tasks: names must differ, found {name!r} twice")
        if self.data.input in {*names, *(task.target for task in self.tasks)}:
            raise ValueError(f"data.input: must differ from every task and target, found {self.data.input!r}")
        distill = self.compress.distill
        for place, weights in (("train.weights", self.train.weights), ("compress.distill.weights", distill.weights)):
            for name in weights if names else ():
                if name not in names:
                    raise ValueError(f"{place}: must name tasks ({', '.join(names)}), found {name!r}")
        student = self.compress.student
        nets = [self.net, *([student.net] if student is not None and student.net is not None else [])]
        whole = any(isinstance(net, CustomNetSpec) for net in nets)
        if self.single_task and whole:
            raise ValueError("single_task: needs a trunk and heads to train apart, found a whole module")
        if distill.teacher == "single-task" and isinstance(self.net, CustomNetSpec):
            rule = "'single-task' needs a trunk and heads to train apart"
            raise ValueError(f"compress.distill.teacher: {rule}, found a whole module")
        if distill.transfers and whole:
            key = "hint" if distill.hint else "attention"
            raise ValueError(f"compress.distill.{key}: needs a trunk, whose maps are compared, found a whole module")
        if distill.attention and any(isinstance(net, MLPSpec) for net in nets):
            raise ValueError("compress.distill.attention: needs maps of images or sequences, found the trunk 'mlp'")
