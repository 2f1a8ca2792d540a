"""Whatever tasks and columns are called, what is generated of them is code that means the same names."""

import json
import re

import pytest
import tree_sitter
import tree_sitter_swift
from hypothesis import given
from hypothesis import strategies as st

from mtl_edge.artifact import Lineage, Manifest, ModelInput
from mtl_edge.kits.identifiers import identifiers
from mtl_edge.kits.kotlin import kotlin_types
from mtl_edge.kits.swift import swift_types
from mtl_edge.kits.typescript import typescript_types
from mtl_edge.preprocessing import CategoricalColumn, NumericColumn, Table
from mtl_edge.tasks import Regression

HOSTILE = (
    'a"; evil()',
    "a*/ evil() /*",
    "a\\(evil())",
    "${evil()}",
    "$evil",
    "line\nbreak\u2028\u2029",
    "`",
    "class",
    "CLASS",
    "",
    " ",
    "_",
    "9 lives",
    "Maß",
    "Mas",
    "\U0001f600",
    "\f",
    "byTask",
)


def _manifest(names: tuple[str, ...], inputs: tuple[str, ...] = ("x",)) -> Manifest:
    columns = tuple(
        CategoricalColumn(name=name, categories=("x",)) if place % 2 else NumericColumn(name=name, mean=0.0, std=1.0)
        for place, name in enumerate(names)
    )
    table = Table(columns=columns)
    return Manifest(
        name="*/ evil",
        variant="dense",
        tasks=tuple(Regression(name=name, target="y") for name in names),
        inputs=tuple(
            ModelInput(name=name, dtype="float32", shape=("batch", len(names)), preprocessing=table) for name in inputs
        ),
        lineage=Lineage(recipe_sha256="", data_sha256="", seed=0, steps=()),
        parameters=0,
        opset=20,
        versions={},
    )


@given(st.lists(st.text(max_size=12), unique=True, max_size=12))
def test_identifiers_are_valid_and_differ(names: list[str]) -> None:
    """Letters, digits and underscores, nothing reserved, and no two alike, in capitals or not."""
    found = identifiers(names, {"class", "val"})
    assert list(found) == names
    assert all(re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) for name in found.values())
    assert len({name.lower() for name in found.values()} | {"class", "val"}) == len(names) + 2


def test_plain_names_stay() -> None:
    """What is an identifier already is left alone, and the same names always become the same identifiers."""
    assert identifiers(["left", "sea level", "sea_level", "class"], {"class"}) == {
        "left": "left",
        "sea level": "sea_level",
        "sea_level": "sea_level_2",
        "class": "the_class",
    }


def test_typescript_quotes_every_name() -> None:
    """Each member is a JSON string, and no name leaves its line."""
    text = typescript_types(_manifest(HOSTILE))
    members = re.findall(r'^  readonly (".*"): client\.Regression;$', text, re.MULTILINE)
    assert [json.loads(member) for member in members] == list(HOSTILE)
    assert text.isascii()
    assert "evil() /*" not in re.sub(r'^  readonly ".*$', "", text, flags=re.MULTILINE)


def test_kotlin_interpolates_nothing() -> None:
    """Names stand in literals in which every dollar is escaped, and no name leaves its line."""
    text = kotlin_types(_manifest(HOSTILE))
    literals = re.findall(r'getValue\(("(?:[^"\\]|\\.)*")\) as Regression$', text, re.MULTILINE)
    assert [json.loads(literal.replace("\\$", "$")) for literal in literals] == list(HOSTILE)
    assert all("$" not in literal.replace("\\$", "") for literal in literals)
    assert text.isascii()


def test_inputs_of_any_name_are_arguments_of_their_own() -> None:
    """Names stand in quotes where the graph's are meant, and each input has a parameter and a class of rows."""
    manifest = _manifest(("left",), HOSTILE)
    kotlin, typescript = kotlin_types(manifest), typescript_types(manifest)
    members = re.findall(r'^  readonly (".*"): readonly \w+Row\[\] \| client\.NdArray;$', typescript, re.MULTILINE)
    fed = re.findall(r'^ +("(?:[^"\\]|\\.)*") to \(model\.steps', kotlin, re.MULTILINE)
    assert [json.loads(member) for member in members] == list(HOSTILE)
    assert [json.loads(literal.replace("\\$", "$")) for literal in fed] == list(HOSTILE)
    for text, row in ((kotlin, r"^class (\w+Row)\("), (typescript, r"^export interface (\w+Row) \{")):
        rows = re.findall(row, text, re.MULTILINE)
        assert len({name.lower() for name in rows}) == len(rows) == len(HOSTILE)
        assert text.isascii()


@pytest.mark.parametrize("inputs", [("x",), HOSTILE])
@pytest.mark.parametrize("names", [HOSTILE, ("left", "right")])
def test_swift_can_be_parsed(names: tuple[str, ...], inputs: tuple[str, ...]) -> None:
    """What is generated has no error for a Swift parser, and interpolates nothing."""
    text = swift_types(_manifest(names, inputs))
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_swift.language()))
    tree = parser.parse(text.encode())
    assert not tree.root_node.has_error
    assert "\\(" not in text
    assert text.count("byTask[") == len(names)
