"""From a TOML file to a :class:`~mtl_edge.recipe.recipe.Recipe`; every error names file, key, rule and found value."""

import difflib
import re
import tomllib
import typing
from pathlib import Path
from typing import Any, Literal

import msgspec

from mtl_edge.errors import RecipeError
from mtl_edge.recipe.net import CustomNetSpec, CustomTrunkSpec, NetSection, NetSpec, SharingSpec
from mtl_edge.recipe.recipe import Recipe
from mtl_edge.tasks import Task, budgets_of

_NOT_KEYS = ("name", "folder", "factory")
_STUDENT_NET = "compress.student.net"


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from a TOML file.

    Raises:
        RecipeError: the file cannot be read, is not TOML, or breaks a rule; the message names file, key, rule and
            found value.
    """
    raw = read_toml(path)
    for key in ("name", "folder"):
        if key in raw:
            raise RecipeError(f"{path}: unknown key {key!r}: a recipe's {key} is that of its file")
    name = path.parent.name if path.name == "recipe.toml" else path.stem
    tasks = read_tasks(path, raw.pop("tasks", {}))
    if isinstance(given := raw.get("net"), dict):
        raw["net"] = _net(path, given, "net")
        compress: Any = raw.get("compress")
        match compress:
            case {"student": {"net": dict() as own} as student}:
                net = _net(path, _differing(path, given, own), _STUDENT_NET)
                raw["compress"] = {**compress, "student": {**student, "net": net}}
    fields = {**raw, "tasks": (), "name": name or "recipe", "folder": path.parent}
    try:
        return msgspec.structs.replace(msgspec.convert(fields, Recipe), tasks=tasks)
    except msgspec.ValidationError as error:
        raise RecipeError(f"{path}: {explain(str(error), raw, Recipe)}") from error
    except (RecipeError, ValueError) as error:
        raise RecipeError(f"{path}: {error}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        RecipeError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: is not valid TOML: {error}") from error


def read_tasks(path: Path, tables: object) -> tuple[Task, ...]:
    """The tables of ``[tasks]``, each on its own, so that an error can name it.

    Raises:
        RecipeError: there is none, or one breaks a rule.
    """
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
            if isinstance(error.__cause__, ValueError):  # a rule of the kind's own, which says what it found
                raise RecipeError(f"{path}: tasks.{_shown_name(name)}: {error.__cause__}") from error
            reason = explain(str(error), {**table, "name": name}, kind or Task.__args__[0])
            raise RecipeError(f"{path}: tasks.{_shown_name(name)}: {reason}") from error
        try:
            budgets_of([task])
        except ValueError as error:
            raise RecipeError(f"{path}: tasks.{_shown_name(name)}.max_drop: {error}") from error
        tasks.append(task)
    return tuple(tasks)


def _differing(path: Path, base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The student's table, with what it does not say taken from ``[net]``: of another trunk, what all trunks have."""
    if "module" in own:
        return own
    if "trunk" not in own and "module" in base:
        raise RecipeError(f"{path}: {_STUDENT_NET}: must name a trunk where [net] is a whole module, found none")
    common = {field.name for field in msgspec.structs.fields(NetSection)}
    same = own.get("trunk", base.get("trunk")) == base.get("trunk")
    return {**{key: value for key, value in base.items() if same or key in common}, **own}


def _net(path: Path, table: dict[str, Any], place: str) -> dict[str, Any]:
    """A table such as ``[net]`` with its short forms written out: ``sharing = "mmoe"``, ``python:pkg.mod:factory``."""
    table = dict(table)
    if isinstance(kind := table.get("sharing"), str):
        kinds = _tags(SharingSpec)
        if kind not in kinds:
            rule = f"must be one of {', '.join(map(repr, kinds))}, or a table with this kind and its keys"
            raise RecipeError(f"{path}: {place}.sharing: {rule}, found {_shown(kind)}")
        table["sharing"] = {"kind": kind}
    if "module" in table:
        if len(table) > 1:
            others = ", ".join(sorted(repr(key) for key in table if key != "module"))
            raise RecipeError(f"{path}: {place}.module: is the whole network and stands alone, found also {others}")
        return {"trunk": _tags(CustomNetSpec)[0], "factory": _factory(path, f"{place}.module", table["module"])}
    trunk = table.get("trunk")
    if isinstance(trunk, str) and trunk.startswith("python:"):
        table["factory"] = _factory(path, f"{place}.trunk", trunk)
        table["trunk"] = _tags(CustomTrunkSpec)[0]
    elif "trunk" in table and trunk not in (known := [tag for tag in _tags(NetSpec) if not tag.startswith("python:")]):
        rule = f"must be one of {', '.join(map(repr, known))}, or 'python:pkg.mod:factory'"
        raise RecipeError(f"{path}: {place}.trunk: {rule}, found {_shown(trunk)}")
    return table


def _factory(path: Path, place: str, value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"python:\w+(\.\w+)*:\w+", value):
        raise RecipeError(f"{path}: {place}: must be 'python:pkg.mod:factory', found {_shown(value)}")
    return value.removeprefix("python:")


def _tags(union: Any) -> list[str]:
    """The tags of a struct, or of a union of structs."""
    return [str(member.__struct_config__.tag) for member in typing.get_args(union) or (union,)]


def _member(annotation: Any, found: object) -> Any:
    """Of a union of tagged structs, the one that a table is of; any other annotation as it is."""
    for member in typing.get_args(annotation):
        config = getattr(member, "__struct_config__", None)
        if config is not None and isinstance(found, dict) and found.get(config.tag_field) == config.tag:
            return member
    return annotation


def explain(message: str, raw: dict[str, Any], shape: type) -> str:
    """Rewrite a validation message so that it names the key in full, the rule, and what was found there.

    Args:
        message: msgspec's.
        raw: what was to be converted.
        shape: the struct that it was to become.
    """
    rule, _, where = message.partition(" - at `$")
    keys = re.findall(r"\.(\w+)|\[(\d+)\]", where)
    found: Any = raw
    table: Any = shape
    parent: Any = shape
    hint: Any = shape
    for name, index in keys:
        found = found[name] if name else found[int(index)]
        annotations = typing.get_type_hints(table) if name and isinstance(table, type) else {}
        hint = annotations.get(name) if name else next(iter(typing.get_args(hint)), None)
        parent, table = table, _member(hint, found)
    place = ".".join(name or index for name, index in keys)
    prefix = f"{place}: " if place else ""
    if unknown := re.search(r"unknown field `(.+)`", rule):
        known = [field.name for field in msgspec.structs.fields(table) if field.name not in _NOT_KEYS]
        near = difflib.get_close_matches(unknown[1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
        return f"{prefix}unknown key {unknown[1]!r}; {hint}"
    if rule.startswith("Invalid value"):  # the tag of no struct in a union
        return f"{prefix}must be one of {', '.join(map(repr, _tags(parent)))}, found {_shown(found)}"
    if rule.startswith("Invalid enum value"):
        return f"{prefix}must be {_choices(hint)}, found {_shown(found)}"
    if missing := re.search(r"missing required field `(.+)`", rule):
        return f"{prefix}the key {missing[1]!r} is required, found none"
    if re.match(r"[\w.]+: .*, found ", rule):  # a struct's own check, which names its key
        return f"{place}.{rule}" if place else rule
    return f"{prefix}{rule[0].lower()}{rule[1:].replace('`', '')}, found {_shown(found)}"


def _choices(hint: Any) -> str:
    """The words that a key may have, and what else it may be: ``one of 'a', 'b'``, ``'a' or a number``."""
    parts = typing.get_args(hint)
    words = [repr(word) for part in (hint, *parts) if typing.get_origin(part) is Literal for word in part.__args__]
    names = {float: "a number", tuple: "a list"}
    others = [names[kind] for part in parts if (kind := typing.get_origin(part) or part) in names]
    return " or ".join([", ".join(words), *others]) if others else f"one of {', '.join(words)}"


def _shown_name(name: str) -> str:
    return name if name.isprintable() and name else repr(name)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
