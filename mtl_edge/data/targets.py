"""Targets from the columns of a source: numbers as they are, texts as class numbers, or equal to a value or not."""

import difflib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtl_edge.data.cut import Cut
from mtl_edge.data.rows import Batch, Field, Rows, check_column, check_numbers
from mtl_edge.errors import DataError, RecipeError
from mtl_edge.preprocessing.table import category
from mtl_edge.recipe import Recipe, SourceSpec, TargetSpec
from mtl_edge.tasks import Task

_MOST_CLASSES = 10_000


@dataclass(frozen=True)
class Target:
    """One target array, and the column that it is made of.

    Attributes:
        name: as the tasks call it.
        column: as the data calls it.
        equals: what the column is compared to; empty where it is not.
        classes: texts in the order of their class numbers; none where the column holds numbers.
        gaps: whether texts are missing.
    """

    name: str
    column: str
    equals: str = ""
    classes: tuple[str, ...] = ()
    gaps: bool = False

    def field(self, source: Field) -> Field:
        """What :meth:`read` gives: float32 for numbers and labels with gaps, else int64; maps keep their integers."""
        if source.dtype.kind == "f" or self.gaps:
            return Field(np.dtype(np.float32), source.shape)
        return Field(source.dtype if source.shape and source.dtype.kind in "iu" else np.dtype(np.int64), source.shape)

    def read(self, batch: Batch) -> np.ndarray:
        """The labels ``(rows, …)`` of a batch, NaN where nobody gave one."""
        found = batch[self.column]
        dtype = self.field(Field(found.dtype, found.shape[1:])).dtype
        if self.equals or found.dtype.kind == "O":
            codes = {self.equals: 1} if self.equals else {text: code for code, text in enumerate(self.classes)}
            texts = map(category, found.tolist())
            return np.array([np.nan if text is None else codes.get(text, 0) for text in texts]).astype(dtype)
        with np.errstate(over="ignore"):  # what becomes inf is refused as such
            return found.astype(dtype)


def carried_targets(
    recipe: Recipe, sources: Mapping[str, SourceSpec], cuts: Sequence[Cut]
) -> tuple[frozenset[str], ...]:
    """For each source, the targets that it has labels for: what it says, or else those that it has columns for.

    Raises:
        RecipeError: a source names a task that there is not.
        DataError: a column is missing, or a source has no labels at all, or a target none in any source.
    """
    tasks = {task.name: task for task in recipe.tasks}
    carried: list[frozenset[str]] = []
    for origin, (name, source) in enumerate(sources.items()):
        parts = [cut.rows for cut in cuts if cut.origin == origin]
        for asked in source.tasks:
            if asked not in tasks:
                raise RecipeError(
                    f"data.sources.{name}.tasks: must name tasks, found {asked!r}, known are {', '.join(tasks)}"
                )
        named = [tasks[asked] for asked in source.tasks or (tasks if len(sources) == 1 else ())]
        if not named:
            named = [task for task in recipe.tasks if _column(task.target, recipe) in parts[0].fields]
        for task, rows in itertools.product(named, parts):
            check_column(_column(task.target, recipe), rows.fields, f"{rows.place}: {_key(task, recipe)}")
        if not named:
            raise DataError(f"data.sources.{name}: must have a column for at least one target, found none")
        carried.append(frozenset(task.target for task in named))
    for task in recipe.tasks:
        if not any(task.target in names for names in carried):
            raise DataError(f"tasks.{task.name}: at least one source must have the labels {task.target!r}, found none")
    return tuple(carried)


def find_targets(recipe: Recipe, cuts: Sequence[Cut], carried: Sequence[frozenset[str]]) -> dict[str, Target]:
    """The targets of all tasks by name.

    Raises:
        RecipeError: a ``[data.targets]`` table that no task has for its target.
        DataError: a column holds what its tasks cannot use.
    """
    wanted: dict[str, list[Task]] = {}
    for task in recipe.tasks:
        wanted.setdefault(task.target, []).append(task)
    for name in recipe.data.targets:
        if name not in wanted:
            raise RecipeError(f"data.targets.{name}: must be the target of a task, found {', '.join(sorted(wanted))}")
    return {
        name: _find(name, tasks, recipe, [cut.rows for cut in cuts if name in carried[cut.origin]])
        for name, tasks in wanted.items()
    }


def _column(name: str, recipe: Recipe) -> str:
    """The column that a target is made of."""
    return recipe.data.targets.get(name, TargetSpec()).column or name


def _key(task: Task, recipe: Recipe) -> str:
    """The recipe's key that names this column."""
    spec = recipe.data.targets.get(task.target)
    return f"data.targets.{task.target}.column" if spec and spec.column else f"tasks.{task.name}.target"


def _find(name: str, tasks: Sequence[Task], recipe: Recipe, holders: Sequence[Rows]) -> Target:
    spec = recipe.data.targets.get(name, TargetSpec())
    column, key = _column(name, recipe), _key(tasks[0], recipe)
    equals = category(spec.equals) or ""
    for rows in holders:
        field = rows.fields[column]
        where = f"{rows.place}: {key}"
        if not field.is_text and field.dtype.kind not in "biuf":
            raise DataError(f"{where}: must be numbers, found dtype {field.dtype}")
        if equals and field.shape:
            raise DataError(f"{where}: 'equals' needs one value per sample, found an array of {field.shape} for each")
        if not equals:
            for task in tasks:
                if task.labels(np.zeros(1, np.int64)).dtype.kind == "f":  # it is a number, not a class
                    check_numbers(rows, column, where)
    texts = [rows for rows in holders if rows.fields[column].is_text]
    if not texts:
        return Target(name, column, equals)
    where = f"{texts[0].place}: {key}"
    if len(texts) < len(holders) and not equals:
        other = next(rows for rows in holders if rows not in texts)
        raise DataError(f"{where}: {column!r} must be text in all sources, found numbers in {other.place}")
    found, gaps = _texts(texts, column, equals, where)
    if equals:
        _check_among(equals, sorted(found), f"data.targets.{name}.equals: must be one of the texts of {column!r}")
        return Target(name, column, equals, gaps=gaps)
    for text in sorted(found) if spec.values else ():
        _check_among(text, spec.values, f"{where}: column {column!r} must hold texts of data.targets.{name}.values")
    classes = spec.values or tuple(sorted(found))
    for task in tasks:
        allowed = getattr(task, "classes", len(classes))
        if len(classes) > allowed:
            raise DataError(f"{where}: classes = {allowed} allows no more texts, found {_shown(classes)}")
    return Target(name, column, classes=classes, gaps=gaps)


def _texts(everything: Sequence[Rows], column: str, equals: str, where: str) -> tuple[set[str], bool]:
    """The different texts of a column, and whether some are missing."""
    found: set[str] = set()
    gaps = False
    for rows in everything:
        for batch in rows.batches([column]):
            texts = set(map(category, batch[column].tolist()))
            gaps = gaps or None in texts
            found |= {text for text in texts if text is not None and (not equals or text == equals or len(found) < 20)}
            if len(found) > _MOST_CLASSES:
                raise DataError(f"{where}: {column!r} must have at most {_MOST_CLASSES} different texts, found more")
    return found, gaps


def _check_among(text: str, allowed: Sequence[str], rule: str) -> None:
    if text not in allowed:
        near = difflib.get_close_matches(text, allowed, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DataError(f"{rule}, {_shown(allowed)}, found {text!r}{hint}")


def _shown(texts: Sequence[str]) -> str:
    return ", ".join(map(repr, texts[:8])) + (f" and {len(texts) - 8} more" if len(texts) > 8 else "")
