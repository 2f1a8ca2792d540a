"""Pruning in steps: a part leaves, what is left is fine-tuned and ranked anew, and so on, until all of it has left.

Each step removes the same factor, so that none of them takes more of what there is than another. The epochs are shared
out evenly, and what cannot be goes to the last step. In each of them the learning rate rises and falls as in a whole
fine-tuning, which is better than going on with a small one (Renda et al. 2020, arXiv:2003.02389).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from mtl_edge.compress.outcome import Missed, Pruned, PrunedGroup, Schedule
from mtl_edge.recipe import PruneSpec
from mtl_edge.tasks import Task, budgets_of


@dataclass(frozen=True)
class Step:
    """One of several, counted from 1, and how many epochs of fine-tuning it has."""

    number: int
    planned: int
    epochs: int

    @property
    def share(self) -> float:
        """How far on the way one is after it."""
        return self.number / self.planned

    def of(self, spec: PruneSpec) -> PruneSpec:
        """What a recipe says of this step alone; when to stop, and what other steps there are, do not change it."""
        return msgspec.structs.replace(spec, steps=1, stop="never", epochs=self.epochs)


def steps_of(spec: PruneSpec) -> tuple[Step, ...]:
    """The steps that a recipe asks for."""
    each, rest = divmod(spec.epochs, spec.steps)
    numbers = range(1, spec.steps + 1)
    return tuple(Step(number, spec.steps, each + (rest if number == spec.steps else 0)) for number in numbers)


def missed_budgets(
    tasks: Sequence[Task], dense: Mapping[str, Mapping[str, float]], found: Mapping[str, Mapping[str, float]]
) -> tuple[Missed, ...]:
    """The tasks whose first metric is worse than in the dense network by more than their budget."""
    budgets, missed = budgets_of(tasks), []
    for task in tasks:
        if (budget := budgets.get(task.name)) is not None:
            metric = task.metrics[0]
            loss = budget.loss(metric, found[task.name][metric.name], dense[task.name][metric.name])
            if loss > budget.amount:
                missed.append(Missed(task.name, budget, loss))
    return tuple(missed)


def whole_course(parts: Sequence[Pruned], schedule: Schedule) -> Pruned:
    """What several steps did together, up to the one that is kept.

    Args:
        parts: what each did to what the one before had left.
        schedule: what came of them.
    """
    parts = parts[: schedule.kept]
    first, last = {group.name: group for group in parts[0].groups}, parts[-1]
    groups = tuple(
        PrunedGroup(name=group.name, channels=before.channels, kept=group.kept, serves=before.serves)
        for group in last.groups
        if (before := first.get(group.name, group))
    )
    return Pruned(
        importance=last.importance,
        groups=groups,
        reached=last.reached,
        dropped=tuple(block for part in parts for block in part.dropped),
        trials=last.trials,
        blocks=parts[0].blocks,
        schedule=schedule,
    )
