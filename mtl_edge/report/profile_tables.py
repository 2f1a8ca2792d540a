"""Where the time of profiled models goes: to the trunk and to each task."""

import math
from collections.abc import Sequence

from mtl_edge.profile.results import Cost, Profile, Profiles, TaskCost
from mtl_edge.report.table import Cell, Table

_MOST_LAYERS, _FEWEST_LAYERS = 20, 8
"""Rows of all models together, and of each at least."""


def parts_by_model(profiles: Sequence[Profile]) -> dict[str, dict[str, float]]:
    """Model -> part (trunk, what some tasks share, each head) -> milliseconds; each model has all parts."""
    parts = _parts(profiles)
    costs = {_name(profile): {cost.name: cost.ms or 0.0 for cost in profile.by_part} for profile in profiles}
    return {model: {part: found.get(part, 0.0) for part in parts} for model, found in costs.items()}


def profile_tables(profiles: Sequence[Profile]) -> list[Table]:
    """What each part costs and what dropping a task saves, model by model; and the layers that cost most of each."""
    if not profiles:
        return []
    most = max(_MOST_LAYERS // len(profiles), _FEWEST_LAYERS)
    layers = tuple(
        (
            Cell(_name(profile)),
            Cell(cost.name),
            Cell(f"{cost.ms or 0:.4f} ms", f"{(cost.ms or 0) / profile.median_ms:.0%}", sort=cost.ms),
            Cell(_size(cost.weight_bytes), sort=cost.weight_bytes),
        )
        for profile in profiles
        for cost in profile.by_layer[:most]
    )
    found = [Table("Layers", ("model", "layer", "time", "weights"), layers, names=2)]
    return [*parts_tables(profiles), *_savings_tables(profiles), *found]


def parts_tables(profiles: Sequence[Profile]) -> list[Table]:
    """A row for the trunk, what some tasks share and each head, a column for each model; none where no task is known.

    A part's ratio is to the same part of the first model.
    """
    known = [profile for profile in profiles if profile.tasks]
    if not known:
        return []
    costs = [{cost.name: cost for cost in profile.by_part} for profile in known]
    rows = tuple(
        (
            Cell(part),
            *(_part(found.get(part), costs[0].get(part) if index else None) for index, found in enumerate(costs)),
        )
        for part in _parts(known)
    )
    return [
        Table(
            "What each task costs",
            ("part", *map(_name, known)),
            rows,
            summary=(
                (
                    Cell("one run"),
                    *(_whole(profile, known[0] if index else None) for index, profile in enumerate(known)),
                ),
            ),
            caption="The trunk is what all tasks need, a task’s row what it needs alone; under each time its ratio to "
            f"{_name(known[0])}, and the weights. A run is a little more than its parts: the call itself.",
        )
    ]


def not_profiled(profiles: Profiles) -> list[str]:
    """A sentence for each model of which it is not known where its time goes."""
    return [f"no profile of {failure}" for failure in profiles.failures]


def _savings_tables(profiles: Sequence[Profile]) -> list[Table]:
    """What the latency and the file lose with each task, as it was measured with models that lack it."""
    known = [profile for profile in profiles if any(task.marginal_ms is not None for task in profile.tasks)]
    if not known:
        return []
    tasks = [{task.name: task for task in profile.tasks} for profile in known]
    names = dict.fromkeys(name for found in tasks for name in found)
    return [
        Table(
            "What dropping a task saves",
            ("task", *map(_name, known)),
            tuple((Cell(name), *(_saved(found.get(name)) for found in tasks)) for name in names),
            caption="Measured: each model against the same one without the task, in turn. The range is the middle half "
            "of the rounds; where it reaches zero, the saving is too small to tell.",
        )
    ]


def _parts(profiles: Sequence[Profile]) -> list[str]:
    """The trunk, what some tasks share, then the heads in the order of the tasks."""
    heads = list(dict.fromkeys(task.name for profile in profiles for task in profile.tasks))
    found = dict.fromkeys(node.part for profile in profiles for node in profile.nodes)
    return sorted(found, key=lambda part: (part != "trunk", heads.index(part) + 1 if part in heads else 0))


def _part(cost: Cost | None, base: Cost | None) -> Cell:
    if cost is None or cost.ms is None:
        return Cell("-")
    ratio = f"{cost.ms / base.ms:.2f}x" if base is not None and base.ms else ""
    return Cell(f"{cost.ms:.4f} ms", "\n".join(filter(None, (ratio, _size(cost.weight_bytes)))), sort=cost.ms)


def _whole(profile: Profile, base: Profile | None) -> Cell:
    ratio = f"{profile.median_ms / base.median_ms:.2f}x" if base is not None else ""
    weights = _size(sum(node.weight_bytes for node in profile.nodes))
    return Cell(f"{profile.median_ms:.4f} ms", "\n".join(filter(None, (ratio, weights))), sort=profile.median_ms)


def _saved(task: TaskCost | None) -> Cell:
    if task is None or task.marginal_ms is None:
        return Cell("-")
    low, high = task.marginal_range_ms or (math.nan, math.nan)
    smaller = "" if task.saved_bytes is None else f"file -{_size(task.saved_bytes)}"
    note = "\n".join(filter(None, (f"{low:.4f} … {high:.4f}", smaller)))
    return Cell(f"{task.marginal_ms:.4f} ms", note, sort=task.marginal_ms)


def _name(profile: Profile) -> str:
    """The folder of ``…/pruned/model.onnx``, or the file's own name."""
    *folders, file = profile.path.replace("\\", "/").split("/")
    return folders[-1] if file == "model.onnx" and folders else file


def _size(count: int) -> str:
    return f"{count / 1024:.1f} KiB"
