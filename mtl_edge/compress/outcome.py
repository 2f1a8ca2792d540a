"""What pruning did: channels left in each group of layers, and how many of them one task alone has a use for."""

from collections.abc import Iterable, Mapping

import msgspec


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


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What pruning did: what ranked the channels, each group, and what else is to be known."""

    importance: str
    groups: tuple[PrunedGroup, ...]
    remarks: tuple[str, ...] = ()


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
    """One sentence each: which channels tasks do not share, and what else is to be known of each pruned network."""
    return [
        f"{name}: {line}" for name, found in pruned.items() for line in (conflict_line(found), *found.remarks) if line
    ]


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in counts:
        for task, count in part.items():
            total[task] = total.get(task, 0) + count
    return total
