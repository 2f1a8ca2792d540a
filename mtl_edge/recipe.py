"""A recipe: one TOML file that says everything about a run.

Every value has a sensible default except the data, the tasks and the trunk. Each error names the file, the key, the
rule and what was found.
"""

import difflib
import re
import tomllib
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mtl_edge.errors import RecipeError
from mtl_edge.tasks import Task

_Count = Annotated[int, Meta(ge=1)]
_Positive = Annotated[float, Meta(gt=0, le=1e9)]  # an end, so that inf is refused
_Share = Annotated[float, Meta(ge=0, le=1)]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the recipe."""


class DataSpec(_Section, frozen=True):
    """``[data]``: where the samples come from and how they are split.

    ``source`` is ``mnist-pairs`` or ``npz:FILE`` (relative to the recipe). ``split`` gives the shares of train,
    validation and test. ``samples`` says how many composites a generated source makes for each of them.
    """

    source: str
    input: str = "image"
    split: tuple[_Positive, _Positive, _Positive] = (0.7, 0.1, 0.2)
    samples: tuple[_Count, _Count, _Count] = (24_000, 2_000, 5_000)
    calibration: _Count = 512


class NetSpec(_Section, frozen=True):
    """``[net]``: the shared trunk and the heads' hidden width.

    ``width`` is the number of channels of the trunk's first stage; each further stage doubles it. ``depth`` is the
    number of residual blocks of each stage.
    """

    trunk: Literal["resnet"]
    width: _Count = 32
    depth: Annotated[tuple[_Count, ...], Meta(min_length=1)] = (1, 1, 1)
    head_hidden: _Count = 64


class TrainSpec(_Section, frozen=True):
    """``[train]``: AdamW with a one-cycle schedule; equal task weights.

    ``precision`` is that of the forward pass; ``auto`` takes bf16 where the CPU has instructions for it.
    """

    epochs: _Count = 12
    batch_size: Annotated[int, Meta(ge=2)] = 128
    learning_rate: _Positive = 4e-3
    weight_decay: Annotated[float, Meta(ge=0)] = 0.05
    precision: Literal["auto", "bf16", "fp32"] = "auto"


class PruneSpec(_Section, frozen=True):
    """``[compress.prune]``: the share of channels to remove, and the fine-tuning that follows."""

    ratio: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    round_to: _Count = 8
    epochs: _Count = 8
    learning_rate: _Positive = 3e-3


class DistillSpec(_Section, frozen=True):
    """``[compress.distill]``: how the dense network teaches the pruned one.

    The loss is ``(1 - weight) * labels + weight * teacher``.
    """

    weight: _Share = 0.7
    temperature: _Positive = 2.0


class QuantizeSpec(_Section, frozen=True):
    """``[compress.quantize]``: how the ranges of activations are taken from the calibration samples."""

    method: Literal["minmax", "percentile", "entropy"] = "minmax"


class CompressSpec(_Section, frozen=True):
    """``[compress]``: pruning, distillation and static int8 quantization."""

    prune: PruneSpec = PruneSpec()
    distill: DistillSpec = DistillSpec()
    quantize: QuantizeSpec = QuantizeSpec()


class BenchSpec(_Section, frozen=True):
    """``[bench]``: batch-1 latency in interleaved rounds, and cold starts in fresh processes."""

    threads: Annotated[tuple[_Count, ...], Meta(min_length=1)] = (1, 2)
    rounds: Annotated[int, Meta(ge=2)] = 10
    round_seconds: _Positive = 0.2
    cold_starts: _Count = 5


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole recipe; ``name`` is the name of its folder or file, ``folder`` is what relative paths start from."""

    name: str
    folder: Path
    data: DataSpec
    tasks: tuple[Task, ...]
    net: NetSpec
    train: TrainSpec = TrainSpec()
    compress: CompressSpec = CompressSpec()
    bench: BenchSpec = BenchSpec()
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0

    def __post_init__(self) -> None:
        names = [task.name for task in self.tasks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"tasks: names must differ, found {name!r} twice")
        if self.data.input in {*names, *(task.target for task in self.tasks)}:
            raise ValueError(f"data.input: must differ from every task and target, found {self.data.input!r}")


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from a TOML file.

    Raises:
        RecipeError: the file cannot be read, is not TOML, or breaks a rule; the message names file, key, rule and
            found value.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: is not valid TOML: {error}") from error
    for key in ("name", "folder"):
        if key in raw:
            raise RecipeError(f"{path}: unknown key {key!r}: a recipe's {key} is that of its file")
    name = path.parent.name if path.name == "recipe.toml" else path.stem
    tasks = _tasks(path, raw.pop("tasks", {}))
    fields = {**raw, "tasks": (), "name": name or "recipe", "folder": path.parent}
    try:
        return msgspec.structs.replace(msgspec.convert(fields, Recipe), tasks=tasks)
    except msgspec.ValidationError as error:
        raise RecipeError(f"{path}: {_explain(str(error), raw, Recipe)}") from error
    except ValueError as error:
        raise RecipeError(f"{path}: {error}") from error


def _tasks(path: Path, tables: object) -> tuple[Task, ...]:
    """Each task on its own, so that an error can name it."""
    if not isinstance(tables, dict) or not tables:
        raise RecipeError(f"{path}: tasks: at least one [tasks.NAME] table is required, found {_shown(tables)}")
    tasks: list[Task] = []
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise RecipeError(f"{path}: tasks.{name}: must be a table, found {_shown(table)}")
        if "name" in table:
            raise RecipeError(f"{path}: tasks.{name}: unknown key 'name': a task's name is that of its table")
        if "target" not in table:
            raise RecipeError(f'{path}: tasks.{name}: has no target: name the data\'s array of labels, target = "…"')
        try:
            task: Task = msgspec.convert({**table, "name": name}, Task)
        except msgspec.ValidationError as error:
            kinds = {kind.__struct_config__.tag: kind for kind in Task.__args__}
            given = table.get("kind")
            kind = kinds.get(given) if isinstance(given, str) else None
            if "kind" in table and kind is None:
                rule = f"kind: must be one of {', '.join(map(repr, kinds))}, found {_shown(given)}"
                raise RecipeError(f"{path}: tasks.{name}.{rule}") from error
            reason = _explain(str(error), {**table, "name": name}, kind or Task.__args__[0])
            raise RecipeError(f"{path}: tasks.{_shown_name(name)}: {reason}") from error
        tasks.append(task)
    return tuple(tasks)


def _explain(message: str, raw: dict[str, Any], shape: type) -> str:
    """Rewrite a validation message so that it names the key in full, the rule, and what was found there."""
    rule, _, where = message.partition(" - at `$")
    keys = re.findall(r"\.(\w+)|\[(\d+)\]", where)
    found: Any = raw
    table: Any = shape
    parent: Any = shape
    for name, index in keys:
        parent = table
        found = found[name] if name else found[int(index)]
        table = table.__annotations__.get(name) if name and hasattr(table, "__annotations__") else None
    place = ".".join(name or index for name, index in keys)
    prefix = f"{place}: " if place else ""
    if unknown := re.search(r"unknown field `(.+)`", rule):
        known = [field.name for field in msgspec.structs.fields(table) if field.name not in ("name", "folder")]
        near = difflib.get_close_matches(unknown[1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
        return f"{prefix}unknown key {unknown[1]!r}; {hint}"
    if rule.startswith("Invalid enum value"):
        allowed = typing.get_args(typing.get_type_hints(parent)[keys[-1][0]])
        return f"{prefix}must be one of {', '.join(map(repr, allowed))}, found {_shown(found)}"
    if missing := re.search(r"missing required field `(.+)`", rule):
        return f"{prefix}the key {missing[1]!r} is required, found none"
    return f"{prefix}{rule[0].lower()}{rule[1:].replace('`', '')}, found {_shown(found)}"


def _shown_name(name: str) -> str:
    return name if name.isprintable() and name else repr(name)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
