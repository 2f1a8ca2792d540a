"""Reference recipes are found by name, others by path."""

import subprocess
import sys
from pathlib import Path

import pytest

from mtl_edge.errors import RecipeError
from mtl_edge.recipe import load_recipe
from mtl_edge.runtime import manifest_of, open_session
from mtl_edge.zoo import find_recipe

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", [path.parent.name for path in sorted((ROOT / "models").glob("*/recipe.toml"))])
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


@pytest.mark.parametrize(
    "folder", [path.parent for path in sorted((ROOT / "models").glob("*/model.onnx"))], ids=lambda folder: folder.name
)
def test_every_reference_model_is_the_one_of_its_card(folder: Path) -> None:
    """The model vouches for itself, its recipe has its tasks, and its card states the metrics of its manifest."""
    manifest = manifest_of(folder / "model.onnx", open_session(folder / "model.onnx"))
    assert manifest is not None
    recipe = load_recipe(folder / "recipe.toml")
    assert (manifest.name, manifest.tasks) == (recipe.name, recipe.tasks)
    card = (folder / "card.md").read_text(encoding="utf-8")
    row = next(line for line in card.splitlines() if line.startswith(f"| `{manifest.variant}` |"))
    for task in manifest.tasks:
        metric = task.metrics[0]
        assert metric.format(manifest.metrics.values[task.name][metric.name]) in row


def test_every_card_shows_what_was_measured() -> None:
    """Its tables are those that the kept results make, and none has been changed by hand."""
    script = ROOT / "benchmarks" / "zoo" / "zoo.py"
    done = subprocess.run([sys.executable, script, "cards", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
