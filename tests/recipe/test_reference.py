"""``docs/recipe.md`` names every key and every default of the recipe, and no others."""

import re
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from mtl_edge.recipe import NetSpec, Recipe, SharingSpec
from mtl_edge.recipe.balance import BalanceSpec
from mtl_edge.recipe.net import NetSection
from mtl_edge.tasks import Task

REFERENCE = Path(__file__).parents[2] / "docs" / "recipe.md"
CODE = re.compile(r"`([^`]+)`")
REQUIRED = object()

Struct = type[msgspec.Struct]


def _sections() -> dict[str, list[list[str]]]:
    """The rows of all tables, as their cells, by the first code in the heading that they stand below."""
    sections: dict[str, list[list[str]]] = {}
    section = ""
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and (named := CODE.search(line)):
            section = named[1]
        elif line.startswith("|"):
            sections.setdefault(section, []).append([cell.strip() for cell in line[1:-1].split("|")])
    return sections


def _named(section: str, header: str) -> dict[str, list[str]]:
    """First cell -> row, of the tables of a section whose first column has this header."""
    rows: dict[str, list[str]] = {}
    inside = False
    for row in SECTIONS.get(section, []):
        if set(row[0]) <= {"-", ":"}:
            continue
        if not row[0].startswith(("`", "*")):
            inside = row[0] == header
        elif inside and (code := re.fullmatch(CODE, row[0])):
            assert code[1] not in rows, f"{section}: {code[1]} has two rows"
            rows[code[1]] = row
    return rows


SECTIONS = _sections()


def _structs(hint: Any) -> list[Struct]:
    """The structs that an annotation names."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return [hint]
    return [struct for part in typing.get_args(hint) for struct in _structs(part)]


def _literals(hint: Any) -> list[str]:
    """The words that an annotation allows."""
    if typing.get_origin(hint) is Literal:
        return [str(choice) for choice in typing.get_args(hint)]
    return [choice for part in typing.get_args(hint) for choice in _literals(part)]


def _tag(struct: Struct) -> str | None:
    tag = struct.__struct_config__.tag
    return None if tag is None else str(tag)


def _tables(struct: Struct, place: str = "") -> Iterator[tuple[str, Struct]]:
    """The tables of the recipe that are no choice among kinds: their name, and their struct."""
    for name, hint in typing.get_type_hints(struct).items():
        for inner in _structs(hint):
            if _tag(inner) is None:
                there = f"{place}{name}" + (".NAME" if typing.get_origin(hint) is dict else "")
                yield f"[{there}]", inner
                yield from _tables(inner, f"{there}.")


def _keys(struct: Struct) -> dict[str, Any]:
    """Key -> default, without what is a table of its own, and what the reader of recipes fills in."""
    hints = typing.get_type_hints(struct)
    keys = {}
    for field in msgspec.structs.fields(struct):
        own_table = any(_tag(inner) is None for inner in _structs(hints[field.name]))
        if not own_table and field.name not in ("name", "folder", "factory"):
            keys[field.name] = _default(field)
    return keys


def _default(field: msgspec.structs.FieldInfo) -> Any:
    """As TOML would give it; None where the key is off."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    if field.default is msgspec.NODEFAULT:
        return REQUIRED
    if isinstance(field.default, msgspec.Struct):  # one of several kinds, written by its name alone
        return _tag(type(field.default))
    return list(field.default) if isinstance(field.default, tuple) else field.default


def _written(cell: str) -> Any:
    """The value that a cell shows."""
    if cell in ("required", "none"):
        return REQUIRED if cell == "required" else None
    code = re.fullmatch(CODE, cell)
    assert code, f"must be a value in TOML, 'required' or 'none', found {cell!r}"
    return tomllib.loads(f"value = {code[1]}")["value"]


def _options(cell: str) -> dict[str, Any]:
    """Key -> value of a cell such as ```mu = 0.1`, `weights```."""
    pairs = (code.partition(" = ") for code in CODE.findall(cell))
    return {key: tomllib.loads(f"value = {value}")["value"] if value else None for key, _, value in pairs}


TABLES = dict(_tables(Recipe))
TRUNKS = {str(_tag(spec)): spec for spec in typing.get_args(NetSpec) if not str(_tag(spec)).startswith("python:")}


def _check_table(section: str, expected: dict[str, Any], hints: dict[str, Any]) -> None:
    rows = _named(section, "key")
    assert set(rows) == set(expected), section
    for key, default in expected.items():
        shown_default = _written(rows[key][2])
        assert repr(shown_default) == repr(default), f"{section}: {key}: shown as {rows[key][2]}, is {default!r}"
        shown = CODE.findall(" ".join(rows[key][1:]))
        for choice in _literals(hints.get(key)):
            assert f'"{choice}"' in shown, f"{section}: {key}: does not say {choice!r}"


def test_the_whole_recipe_is_walked() -> None:
    """The walk below finds the tables within tables."""
    assert {"[data]", "[data.targets.NAME]", "[train.augment]", "[compress.prune]", "[bench]"} <= set(TABLES)


@pytest.mark.parametrize("section", [place for place, struct in TABLES.items() if _keys(struct)])
def test_every_table_has_its_keys_and_defaults(section: str) -> None:
    """Those of the struct, all of them and no others."""
    _check_table(section, _keys(TABLES[section]), typing.get_type_hints(TABLES[section]))


def test_what_stands_above_all_tables_is_there() -> None:
    """Keys of the recipe itself, but its tables of tasks and the network."""
    keys = {key: default for key, default in _keys(Recipe).items() if key not in ("tasks", "net")}
    _check_table("recipe", keys, {})


@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_trunk_has_its_keys_and_defaults(trunk: str) -> None:
    """What all trunks have in common stands in ``[net]`` alone, and the trunk is in the list of what each reads."""
    own = {key: value for key, value in _keys(TRUNKS[trunk]).items() if key not in _keys(NetSection)}
    _check_table(trunk, own, typing.get_type_hints(TRUNKS[trunk]))
    reads = [row[0] for rows in SECTIONS.values() for row in rows if len(row) == 2]
    assert any(f"`{trunk}`" in cell for cell in reads)


def test_the_net_has_its_keys_and_defaults() -> None:
    """The keys of every trunk, and the two that choose one."""
    _check_table("[net]", {"trunk": REQUIRED, "module": None, **_keys(NetSection)}, {})


def test_every_task_kind_has_its_keys_and_metrics() -> None:
    """A row for each kind, and a row for each key of any kind with its default."""
    kinds = {str(_tag(kind)): kind for kind in typing.get_args(Task)}
    rows = _named("[tasks.NAME]", "kind")
    assert set(rows) == set(kinds)
    everything: dict[str, Any] = {"kind": REQUIRED}
    for tag, kind in kinds.items():
        keys = _keys(kind)
        made = kind(name="t", target="y", **({"classes": 3} if "classes" in keys else {}))
        assert CODE.findall(rows[tag][2]) == [metric.name for metric in made.metrics], tag
        assert set(CODE.findall(rows[tag][3])) == set(keys) - {"target", "max_drop"}, tag
        for key, default in keys.items():
            assert everything.setdefault(key, default) == default, f"{key} has two defaults"
    _check_table("[tasks.NAME]", everything, {})


@pytest.mark.parametrize(
    ("section", "header", "union"),
    [("net.sharing", "kind", SharingSpec), ("train.balance", "name", BalanceSpec)],
    ids=["sharing", "balancing"],
)
def test_every_scheme_and_method_has_its_options(section: str, header: str, union: Any) -> None:
    """A row for each, whose last cell has the options with their defaults, those that are off without."""
    structs = {str(_tag(struct)): struct for struct in typing.get_args(union)}
    rows = _named(section, header)
    assert set(rows) == set(structs)
    for tag, struct in structs.items():
        assert _options(rows[tag][-1]) == _keys(struct), tag
        for choice in (choice for hint in typing.get_type_hints(struct).values() for choice in _literals(hint)):
            assert choice in {code.strip('"') for code in CODE.findall(" ".join(rows[tag]))}, f"{tag}: {choice}"
