"""A Python function as a source."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mtl_edge.data.fingerprint import source_fingerprint
from mtl_edge.data.source import prepare
from mtl_edge.data.splits import Splits
from mtl_edge.errors import MtlEdgeError
from mtl_edge.recipe import Recipe, load_recipe

MODULE = """\
import numpy as np
import scale_of_levels

def make(rng):
    level = rng.integers(0, 256, 50)
    return {"image": np.repeat(level[:, None, None], 4, 2).astype(np.uint8), "level": level * scale_of_levels.SCALE}

def parts(rng):
    return {name: {key: array[:size] for key, array in make(rng).items()}
            for name, size in (("train", 20), ("val", 5), ("test", 9))}

def unequal(rng):
    return {"image": np.zeros((3, 1)), "level": np.zeros(4)}

def fails(rng):
    raise ValueError("first line\\nsecond line")

def ragged(rng):
    return {"image": [[1], [1, 2]], "level": [1, 2]}

def objects(rng):
    return {"image": np.array([{}, {}]), "level": np.zeros(2)}

def nothing(rng):
    return None

def stops(rng):
    raise SystemExit(3)

something = 3
"""


@pytest.fixture
def recipe_of(tmp_path: Path, write_recipe: Callable[[str], Path]) -> Callable[[str], Recipe]:
    """A recipe that names a function of the module beside it."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "levels.py").write_text(MODULE)
    (tmp_path / "scale_of_levels.py").write_text("SCALE = 1\n")
    text = (
        '[data]\nsource = "python:{}"\n[tasks.level]\nkind = "regression"\ntarget = "level"\n[net]\ntrunk = "resnet"\n'
    )
    return lambda function: load_recipe(write_recipe(text.format(function)))


def test_a_function_beside_the_recipe_makes_the_samples(
    recipe_of: Callable[[str], Recipe], splits_of: Callable[[Recipe], Splits]
) -> None:
    """The seed decides what it draws; nothing of it stays imported."""
    splits = splits_of(recipe_of("lab.levels:make"))
    np.testing.assert_array_equal(splits.train["image"][:, 0, 0], splits.train["level"])
    again = splits_of(recipe_of("lab.levels:make"))
    np.testing.assert_array_equal(again.test["level"], splits.test["level"])
    assert not {"lab", "lab.levels", "scale_of_levels"} & set(sys.modules)


def test_a_function_can_make_the_splits(
    recipe_of: Callable[[str], Recipe], splits_of: Callable[[Recipe], Splits]
) -> None:
    """They are kept as they are, in their order."""
    splits = splits_of(recipe_of("lab.levels:parts"))
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [20, 5, 9]


def test_another_recipe_s_module_of_the_same_name_is_another(
    recipe_of: Callable[[str], Recipe], splits_of: Callable[[Recipe], Splits]
) -> None:
    """What was imported before is not used again, not even by an import within the module."""
    recipe = recipe_of("lab.levels:make")
    first = splits_of(recipe).test["level"]
    (recipe.folder / "scale_of_levels.py").write_text("SCALE = 1000\n")
    np.testing.assert_array_equal(splits_of(recipe).test["level"], first * 1000)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("lab.levels:fails", "the function raised ValueError: first line second line"),
        ("lab.levels:unequal", "must return arrays of one length, found {'image': 3, 'level': 4}"),
        ("lab.levels:ragged", "'image' must be an array, found "),
        ("lab.levels:objects", "'image' must be an array of numbers (N, …), found array([{}, {}]"),
        ("lab.levels:nothing", "must return arrays by name, found None"),
        ("lab.levels:something", "'python:lab.levels:something' must name a function of "),
        ("lab.levels:absent", "'python:lab.levels:absent' must name a function of "),
        ("lab.labels:make", "'python:lab.labels:make' must name a module in "),
        ("lab.levels", "must be 'python:package.module:function', found 'python:lab.levels'"),
        ("../lab:make", "must be 'python:package.module:function', found 'python:../lab:make'"),
    ],
)
def test_functions_that_do_not_do_are_one_line(
    recipe_of: Callable[[str], Recipe], tmp_path: Path, function: str, message: str
) -> None:
    """Whatever they raise or return."""
    with pytest.raises(MtlEdgeError) as caught:
        prepare(recipe_of(function), tmp_path)
    assert "\n" not in str(caught.value)
    assert message in str(caught.value)


def test_the_fingerprint_follows_the_module(recipe_of: Callable[[str], Recipe]) -> None:
    """A changed function makes new data."""
    recipe = recipe_of("lab.levels:make")
    first = source_fingerprint(recipe)
    assert source_fingerprint(recipe) == first
    module = recipe.folder / "lab" / "levels.py"
    module.write_text(module.read_text() + "# more\n")
    assert source_fingerprint(recipe) != first
