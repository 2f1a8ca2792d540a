"""The reference recipes that come with mtl-edge."""

from importlib.resources import files
from pathlib import Path

from mtl_edge.errors import RecipeError

_INSTALLED = Path(str(files("mtl_edge"))) / "models"
_CHECKOUT = Path(str(files("mtl_edge"))).parent / "models"


def find_recipe(name_or_path: str) -> Path:
    """The recipe's file, for the name of a reference recipe or the path of any other.

    Raises:
        RecipeError: it is neither.
    """
    zoo = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
    named = zoo / name_or_path / "recipe.toml"
    if Path(name_or_path).name == name_or_path and named.is_file():
        return named
    path = Path(name_or_path)
    if path.is_dir():
        path /= "recipe.toml"
    if path.is_file():
        return path
    known = ", ".join(sorted(recipe.parent.name for recipe in zoo.glob("*/recipe.toml")))
    raise RecipeError(
        f"{name_or_path}: must be a recipe's file or one of the reference recipes ({known}), found neither"
    )
