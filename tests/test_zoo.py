"""Reference recipes are found by name, others by path."""

from pathlib import Path

import pytest

from mtl_edge.errors import RecipeError
from mtl_edge.recipe import load_recipe
from mtl_edge.zoo import find_recipe

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", [path.parent.name for path in (ROOT / "models").glob("*/recipe.toml")])
def test_every_reference_recipe_loads_under_its_own_name(name: str) -> None:
    """The name on the command line is the recipe's name."""
    assert load_recipe(find_recipe(name)).name == name


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    """A file, or a folder with a recipe.toml."""
    (tmp_path / "recipe.toml").write_text("")
    assert find_recipe(str(tmp_path / "recipe.toml")) == tmp_path / "recipe.toml"
    assert find_recipe(str(tmp_path)) == tmp_path / "recipe.toml"


@pytest.mark.parametrize("name", ["no-such", "../models/mnist-pairs/nothing.toml"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    """One line that names the reference recipes."""
    with pytest.raises(RecipeError, match=r"reference recipes \(.*mnist-pairs.*\), found neither"):
        find_recipe(name)
