"""Where the time of profiled models goes: to the trunk and to each task."""

from collections.abc import Sequence

from mtl_edge.profile.results import Profile
from mtl_edge.report.table import Cell, Table

_MOST_LAYERS = 20


def parts_by_model(profiles: Sequence[Profile]) -> dict[str, dict[str, float]]:
    """Model -> part (trunk, what some tasks share, each head) -> milliseconds; each model has all parts."""
    parts = dict.fromkeys(cost.name for profile in profiles for cost in profile.by_part)
    costs = {_name(profile): {cost.name: cost.ms or 0.0 for cost in profile.by_part} for profile in profiles}
    return {model: {part: found.get(part, 0.0) for part in parts} for model, found in costs.items()}


def profile_tables(profiles: Sequence[Profile]) -> list[Table]:
    """What each task costs, in each model; and the layers that cost most of the first one."""
    if not profiles:
        return []
    tasks = tuple(
        (
            Cell(_name(profile)),
            Cell(task.name),
            Cell(f"{task.head_ms:.4f} ms", sort=task.head_ms),
            Cell(_size(task.head_weight_bytes), sort=task.head_weight_bytes),
            Cell("-" if task.marginal_ms is None else f"{task.marginal_ms:.4f} ms", sort=task.marginal_ms),
            Cell("-" if task.saved_bytes is None else _size(task.saved_bytes), sort=task.saved_bytes),
        )
        for profile in profiles
        for task in profile.tasks
    )
    layers = tuple(
        (
            Cell(_name(profile)),
            Cell(cost.name),
            Cell(f"{cost.ms or 0:.4f} ms", f"{(cost.ms or 0) / profile.median_ms:.0%}", sort=cost.ms),
            Cell(_size(cost.weight_bytes), sort=cost.weight_bytes),
        )
        for profile in profiles
        for cost in profile.by_layer[:_MOST_LAYERS]
    )
    found = [Table("Layers", ("model", "layer", "time", "weights"), layers, names=2)]
    if tasks:
        columns = ("model", "task", "head\ntime", "head\nweights", "saved without it\ntime", "saved without it\nfile")
        found.insert(0, Table("What each task costs", columns, tasks, names=2))
    return found


def _name(profile: Profile) -> str:
    """The folder of ``…/pruned/model.onnx``, or the file's own name."""
    *folders, file = profile.path.replace("\\", "/").split("/")
    return folders[-1] if file == "model.onnx" and folders else file


def _size(count: int) -> str:
    return f"{count / 1024:.1f} KiB"
