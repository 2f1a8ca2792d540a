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
    recipes = reference_recipes()
    if name_or_path in recipes:
        return recipes[name_or_path]
    path = Path(name_or_path)
    if path.is_dir():
        path /= "recipe.toml"
    if path.is_file():
        return path
    raise RecipeError(
        f"{name_or_path}: must be a recipe's file or one of the reference recipes ({', '.join(recipes)}), found neither"
    )


def reference_recipes() -> dict[str, Path]:
    """Name -> file of every reference recipe, in alphabetical order."""
    zoo = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
    return {recipe.parent.name: recipe for recipe in sorted(zoo.glob("*/recipe.toml"))}
