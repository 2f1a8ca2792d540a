"""``tasks.toml``: what the outputs of a graph mean, in the words of a recipe, and what is done to its inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mtl_edge.errors import RecipeError
from mtl_edge.preprocessing import Pixels, Preprocessing, RawPixels, Table, Tokens, misfit
from mtl_edge.recipe.load import explain, read_tasks, read_toml
from mtl_edge.tasks import Task

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Description:
    """What a ``tasks.toml`` says.

    Attributes:
        path: the file.
        tasks: what the outputs mean; labels are under the task's name where no ``target`` is named.
        outputs: task -> the graph's name of its output.
        input: the table ``[input]``, for a graph that has one; None where the array goes in as it is.
        inputs: the tables ``[inputs.NAME]``, by the graph's names; an input without one goes in as it is.
    """

    path: Path
    tasks: tuple[Task, ...]
    outputs: Mapping[str, str]
    input: Mapping[str, Any] | None
    inputs: Mapping[str, Mapping[str, Any]]

    def steps_of(self, name: str) -> Mapping[str, Any] | None:
        """The table of an input, if it has one."""
        return self.inputs.get(name, self.input)

    def place_of(self, name: str) -> str:
        """Where that table is, or would be."""
        return f"{self.path}: inputs.{name}" if name in self.inputs else f"{self.path}: input"


def read_description(path: Path) -> Description:
    """Read a ``tasks.toml``.

    Raises:
        RecipeError: it cannot be read, or breaks a rule; the message names file, key, rule and found value.
    """
    raw = read_toml(path)
    if unknown := sorted(set(raw) - {"tasks", "input", "inputs"}):
        raise RecipeError(f"{path}: unknown key {unknown[0]!r}; known are input, inputs, tasks")
    tables, steps, several = raw.get("tasks"), raw.get("input"), raw.get("inputs", {})
    if steps is not None and several:
        raise RecipeError(f"{path}: input: must not stand beside inputs.NAME, found both")
    named = {f"inputs.{name}": table for name, table in several.items()} if isinstance(several, dict) else {}
    for key, table in {"input": steps or {}, "inputs": several, **named}.items():
        if not isinstance(table, dict):
            raise RecipeError(f"{path}: {key}: must be a table, found {table!r}")
    outputs: dict[str, str] = {}
    if isinstance(tables, dict):
        for name, table in tables.items():
            if isinstance(table, dict):
                outputs[name] = table.pop("output", name)
                table.setdefault("target", name)
    for name, output in outputs.items():
        if not isinstance(output, str):
            raise RecipeError(f"{path}: tasks.{name}.output: must be the name of an output, found {output!r}")
        if list(outputs.values()).count(output) > 1:
            raise RecipeError(f"{path}: tasks.{name}.output: must be an output of its own, found {output!r} twice")
    return Description(path, read_tasks(path, tables), outputs, steps, several)


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    input: Pixels | Table | Tokens


def preprocessing_of(description: Description, name: str, dtype: str, shape: Shape) -> Preprocessing:
    """What is done to raw samples before they enter the graph.

    Args:
        description: what says it.
        name: of the graph's input.
        dtype: numpy's name of what it reads.
        shape: of what it reads.

    Raises:
        RecipeError: the table is wrong, or does not fit the input.
    """
    place, given = description.place_of(name), description.steps_of(name)
    channels = shape[1] if len(shape) > 1 and isinstance(shape[1], int) else 1
    if given is None:
        as_it_is = Pixels(raw_dtype=dtype, scale=1.0, mean=(0.0,) * channels, std=(1.0,) * channels)
        steps: Preprocessing = as_it_is if dtype == Pixels.dtype else RawPixels(pixels=as_it_is)
    else:
        table = _written_out(given)
        try:
            steps = msgspec.convert({"input": table}, _Input).input
        except msgspec.ValidationError as error:
            said = explain(str(error), {"input": table}, _Input).removeprefix("input")
            raise RecipeError(f"{place}{said}") from error
        if steps.dtype != dtype:
            raise RecipeError(
                f"{place}: {table['kind']!r} is for a graph that reads {steps.dtype}, found {dtype} of {name!r}"
            )
        if isinstance(steps, Pixels):
            if has_channels_last(shape) and max(len(steps.mean), len(steps.std)) > 1:
                raise RecipeError(
                    f"{place}: mean and std of each channel need channels as the second axis, found {list(shape)} of "
                    f"{name!r}: give one value for all of them"
                )
            steps = msgspec.structs.replace(
                steps,
                mean=steps.mean * (channels if len(steps.mean) == 1 else 1),
                std=steps.std * (channels if len(steps.std) == 1 else 1),
            )
    if fault := misfit(steps, shape):
        raise RecipeError(f"{place}: {name!r} is {list(shape)}: {fault}")
    return steps


def has_channels_last(shape: Shape) -> bool:
    """Whether it is that of images whose last axis alone can be that of channels."""
    return (
        len(shape) == 4
        and isinstance(shape[3], int)
        and shape[3] in (1, 3, 4)
        and (not isinstance(shape[1], int) or shape[1] not in (1, 3, 4))
    )


def _written_out(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with its defaults, and with its short forms written out."""
    full = {"kind": "pixels", **table}
    if full["kind"] == "pixels":
        full = {"scale": 1.0, "mean": [0.0], "std": [1.0], **full}
        full |= {key: [full[key]] for key in ("mean", "std") if isinstance(full[key], int | float)}
    if isinstance(columns := full.get("columns"), list):
        full["columns"] = [_column(column) for column in columns]
    return full


def _column(column: Any) -> Any:
    """A name alone is a column of numbers, and one with categories is one of these."""
    match column:
        case str():
            return {"type": "numeric", "name": column, "mean": 0.0, "std": 1.0}
        case {"categories": _}:
            return {"type": "categorical", **column}
        case _:
            return column
