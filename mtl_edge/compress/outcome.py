"""What pruning did: channels left in each group of layers, and how many of them one task alone has a use for."""

from collections.abc import Iterable, Mapping

import msgspec

from mtl_edge.compress.target import Quantity
from mtl_edge.tasks import Budget


class PrunedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Layers that keep the same channels, by the name of the first; or the heads of an attention, in channels.

    ``kept`` of the ``channels`` are left. ``serves`` is, for each task, how many of the channels before pruning serve
    that task only: they are worth four times as much to it as to all others together, each task's worth counted as a
    multiple of its mean in the group. It is empty where one task alone has a use for the whole group, as in its head.
    """

    name: str
    channels: int
    kept: int
    serves: dict[str, int] = {}


class DroppedBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A residual block that was dropped whole.

    ``losses`` is, for each task, how much its loss on some training samples changed by it, relative to what it was and
    before any fine-tuning, together with the blocks that were dropped before.
    """

    name: str
    losses: dict[str, float]


class Trialled(msgspec.Struct, frozen=True, kw_only=True):
    """A network without so many ``blocks``, narrowed down to the target and trained for a short while.

    ``losses`` is, for each task, how much more it loses on the validation samples than before pruning, relative to
    that; ``ratio`` is its latency over the dense network's.
    """

    blocks: int
    ratio: float
    losses: dict[str, float]

    @property
    def worst(self) -> float:
        """What the worst-off task loses more."""
        return max(self.losses.values())


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """How near the pruned network is to its target.

    ``ratio`` is its cost over that of the network before pruning, found before it was fine-tuned: of latencies, those
    of the faster of int8 and float, on the box that pruned. ``dense_ms`` is the latency of the network before pruning
    there; ``tried`` is how many shapes were looked at.
    """

    target: str
    of: Quantity
    ratio: float
    holds: bool
    tried: int
    dense_ms: float | None = None


class Missed(msgspec.Struct, frozen=True):
    """A task that has lost more than its budget allows; ``loss`` is in the budget's unit."""

    task: str
    budget: Budget
    loss: float

    def __str__(self) -> str:
        return f"{self.task} lost {self.loss:.2f} of its {self.budget}"


class PrunedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a schedule, fine-tuned.

    ``metrics`` are those on the validation samples, by task and name; ``missed`` are the tasks that are over budget.
    """

    parameters: int
    epochs: int
    metrics: Mapping[str, Mapping[str, float]]
    reached: Reached | None = None
    missed: tuple[Missed, ...] = ()


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Pruning in several steps.

    ``planned`` is how many there were to be, ``steps`` those that there were, ``kept`` the number of the one whose
    network is the result. ``parameters`` are those of the network that was pruned, which is called ``of``; ``metrics``
    what the dense one reaches on the validation samples, from which losses are counted.
    """

    of: str = "dense"
    planned: int
    parameters: int
    metrics: Mapping[str, Mapping[str, float]]
    steps: tuple[PrunedStep, ...]
    kept: int


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What pruning did: what ranked the channels, each group, how near that is to a target, and blocks that left.

    ``trials`` are the numbers of blocks that were tried out to choose from. With a ``schedule`` of several steps it is
    all from the dense network on, but ``reached`` is what its last step was to reach, and ``trials`` are those of that.
    """

    importance: str
    groups: tuple[PrunedGroup, ...]
    reached: Reached | None = None
    dropped: tuple[DroppedBlock, ...] = ()
    blocks: int = 0
    trials: tuple[Trialled, ...] = ()
    schedule: Schedule | None = None


class Sparsified(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the ``weights`` of the ``layers`` that a mask is over are ``zeros``, and by which ``pattern``."""

    pattern: str
    layers: int
    weights: int
    zeros: int


class Withheld(msgspec.Struct, frozen=True):
    """A compressed model that is no result, because the model ``than`` which it is to replace is faster.

    ``ratio`` is its latency over that of the other on the box that made it, with one thread.
    """

    than: str
    ratio: float


def withheld_lines(withheld: Mapping[str, Withheld]) -> list[str]:
    """One sentence for each model that is withheld: why, and what to do."""
    return [
        f"{name}: withheld, because it takes {found.ratio:.2f}x the time of {found.than} on this box; {_remedy(name)}"
        for name, found in withheld.items()
    ]


def sparsified_lines(sparsified: Mapping[str, Sparsified]) -> list[str]:
    """One sentence for each sparse network: how sparse it is."""
    return [
        f"{name}: {found.zeros / max(found.weights, 1):.1%} of {found.weights:,} weights in {found.layers} layers are "
        f"zero, by the pattern {found.pattern}, which saves size only"
        for name, found in sparsified.items()
    ]


def _remedy(name: str) -> str:
    match name.rpartition("/")[2].removesuffix("-int8"):
        case "student":
            return "make compress.student.net smaller"
        case "sparse":
            return "so does what it was made of"
        case _:
            return "remove less, or give compress.prune.target a latency"


def target_line(reached: Reached) -> str:
    """What came of a target, in one line."""
    found = f"{reached.ratio:.2f}x {reached.of}"
    if reached.dense_ms is not None:
        found += f" ({reached.ratio * reached.dense_ms:.3g} of {reached.dense_ms:.3g} ms)"
    if reached.holds:
        how = f"of {reached.tried} shapes tried" if reached.tried else "with all channels"  # the blocks sufficed
        return f"{found} for a target of {reached.target}, {how}"
    if reached.ratio >= 1:
        better = "none is better than the unpruned network: no channel is removed"
        return f"no shape reaches the target of {reached.target}, and {better}"
    return f"no shape reaches the target of {reached.target}: this is the nearest, {found}"


def dropped_line(pruned: Pruned) -> str:
    """Which blocks were dropped, in one line, and what they were worth to each task; empty where none was."""
    if not pruned.dropped:
        return ""
    names = ", ".join(block.name for block in pruned.dropped)
    count = f"{len(pruned.dropped)} of {pruned.blocks} residual blocks"
    if pruned.schedule is not None:  # with fine-tuning between them
        return f"{count} dropped ({names})"
    changes = ", ".join(f"{task} {change:+.0%}" for task, change in pruned.dropped[-1].losses.items())
    return f"{count} dropped ({names}), which changed losses before fine-tuning by: {changes}"


def trials_line(pruned: Pruned) -> str:
    """Why so many blocks were dropped, in one line; empty where there was nothing to choose from."""
    if not pruned.trials:
        return ""
    tried = ", ".join(
        f"{trial.worst:+.0%} with {f'{trial.blocks} dropped' if trial.blocks else 'all blocks'}"
        for trial in pruned.trials
    )
    return f"after a short training the worst-off task loses more than before pruning by: {tried}"


def schedule_line(schedule: Schedule) -> str:
    """Which step ended a schedule before its end, and why, in one line; empty where none did, or the first one."""
    if schedule.kept == len(schedule.steps):
        return ""
    lost = ", ".join(map(str, schedule.steps[-1].missed))
    return (
        f"ended after step {schedule.kept} of {schedule.planned}, the last one within all budgets: "
        f"in step {len(schedule.steps)}, {lost}"
    )


def schedule_warnings(pruned: Mapping[str, Pruned]) -> list[str]:
    """One sentence for each network that is over budget after the first step already."""
    return [
        f"{name}: step 1 of {found.schedule.planned} misses a budget already, and is kept as the nearest miss: "
        + ", ".join(map(str, found.schedule.steps[0].missed))
        for name, found in pruned.items()
        if found.schedule is not None and found.schedule.kept == 1 and found.schedule.steps[0].missed
    ]


def conflict_line(pruned: Pruned) -> str:
    """How many of the shared channels serve one task only, in one line; empty where no group is shared."""
    shared = [group for group in pruned.groups if group.serves]
    if not shared:
        return ""
    total = sum(group.channels for group in shared)
    alone = _summed(group.serves for group in shared)
    if not any(alone.values()):
        return f"none of {total} shared channels serves one task only"
    worst = max(shared, key=lambda group: sum(group.serves.values()) / group.channels)
    tasks = ", ".join(f"{task} {count}" for task, count in alone.items())
    return (
        f"{sum(alone.values())} of {total} shared channels serve one task only ({tasks}), "
        f"most in {worst.name} ({sum(worst.serves.values())} of {worst.channels})"
    )


def pruned_lines(pruned: Mapping[str, Pruned]) -> list[str]:
    """One sentence each: what ended it, what came of a target, which blocks left, how many channels are not shared."""
    lines = {
        name: (
            schedule_line(found.schedule) if found.schedule is not None else "",
            target_line(found.reached) if found.reached is not None else "",
            dropped_line(found),
            trials_line(found),
            conflict_line(found),
        )
        for name, found in pruned.items()
    }
    return [f"{name}: {line}" for name, own in lines.items() for line in own if line]


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in counts:
        for task, count in part.items():
            total[task] = total.get(task, 0) + count
    return total
