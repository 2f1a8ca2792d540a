"""Which samples calibrate: few that stand for all, with every class of every task among them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mtl_edge.tasks import Task


def balanced_sample(
    tasks: Sequence[Task], arrays: Mapping[str, np.ndarray], count: int, rng: np.random.Generator
) -> np.ndarray:
    """Positions of samples among which rare classes are not rare.

    All classes of all tasks (see :meth:`mtl_edge.tasks.TaskKind.strata`) take turns; each draws one of its samples that
    no other has drawn. So a class has at least its share of the turns, or all the samples that it has.

    Args:
        tasks: those whose targets count.
        arrays: the samples, with the targets of these tasks, or of some of them.
        count: how many samples to draw.
        rng: the source of chance.

    Returns:
        At most ``count`` positions, in their order.
    """
    total = len(next(iter(arrays.values())))
    if count >= total:
        return np.arange(total)
    masks = [mask for task in tasks if task.target in arrays for mask in task.strata(arrays[task.target]).values()]
    pools = [iter(rng.permutation(np.flatnonzero(mask)).tolist()) for mask in masks]
    chosen: set[int] = set()
    while pools and len(chosen) < count:
        pools = [pool for pool in pools if _draws(pool, chosen, count)]
    rest = (position for position in rng.permutation(total).tolist() if position not in chosen)
    chosen.update(position for position, _ in zip(rest, range(count - len(chosen)), strict=False))
    return np.array(sorted(chosen))


def uncovered(tasks: Sequence[Task], arrays: Mapping[str, np.ndarray]) -> list[str]:
    """What the samples do not show, a phrase for each task that lacks something: ``no sample of class 3 of left``."""
    phrases = []
    for task in tasks:
        if task.target not in arrays:
            phrases.append(f"no labels of {task.name}")
            continue
        missing = [name for name, mask in task.strata(arrays[task.target]).items() if not mask.any()]
        if missing:
            phrases.append(f"no sample of {', '.join(missing)} of {task.name}")
    return phrases


def _draws(pool: Iterator[int], chosen: set[int], count: int) -> bool:
    """Draw one sample from a pool, and say whether there was one left."""
    for position in pool:
        if position not in chosen:
            if len(chosen) < count:
                chosen.add(position)
            return True
    return False
