"""What the zoo has, and what of it is ready to run on this machine."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from mtl_edge.errors import RecipeError
from mtl_edge.zoo.cache import find_files
from mtl_edge.zoo.catalogue import DATA_SETS, DataSet, find_data_set
from mtl_edge.zoo.find import reference_recipes


@dataclass(frozen=True)
class Entry:
    """A reference recipe: its name, what it is about, and the data set that must be fetched for it, if any."""

    name: str
    about: str
    data_set: DataSet | None

    @property
    def state(self) -> str:
        """Whether its data are on this machine, and if not, the command that brings them."""
        if self.data_set is None or find_files(self.data_set) is not None:
            return "ready"
        return f"mtl-edge zoo fetch {self.data_set.name}"


def reference_entries() -> list[Entry]:
    """Every reference recipe, in alphabetical order."""
    return [Entry(name, _about(path), data_set_of(path)) for name, path in reference_recipes().items()]


def data_set_of(recipe: Path) -> DataSet | None:
    """The data set that a recipe's source reads, or None where its data come another way.

    Raises:
        RecipeError: the file cannot be read, or is not TOML.
        DataError: it names a data set that there is not.
    """
    try:
        source = tomllib.loads(recipe.read_text(encoding="utf-8")).get("data", {}).get("source", "")
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{recipe}: cannot be read as TOML: {error}") from error
    match str(source).partition(":"):
        case "zoo", ":", reference:
            return find_data_set(reference.partition("/")[0])
        case kind, "", "" if kind.startswith("fashion-"):
            return find_data_set("fashion-mnist")
        case _:
            return None


def needed_data_set(name: str) -> DataSet | None:
    """The data set of this name, or that which the reference recipe of this name needs (None: nothing).

    Raises:
        DataError: there is neither such a data set nor such a recipe.
    """
    recipes = reference_recipes()
    if name in recipes and name not in {data_set.name for data_set in DATA_SETS}:
        return data_set_of(recipes[name])
    return find_data_set(name)


def _about(recipe: Path) -> str:
    """The first sentence of the comment that a recipe begins with."""
    first = recipe.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip()
