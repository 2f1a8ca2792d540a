"""``[compress] order`` and ``[compress.student]``: which steps, in which order, and of which network."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mtl_edge.errors import RecipeError
from mtl_edge.provenance import canonical_json, recipe_body
from mtl_edge.recipe import (
    CompressSpec,
    CustomNetSpec,
    CustomTrunkSpec,
    HardSpec,
    LeNetSpec,
    MMoESpec,
    NetSpec,
    Recipe,
    ResNetSpec,
    StudentSpec,
    load_recipe,
)
from mtl_edge.recipe.alone import alone
from mtl_edge.recipe.student import student_of
from mtl_edge.report.reproduce import recipe_toml

BEFORE = '[compress]\norder = ["student", "prune", "quantize"]\n[compress.student]\nepochs = 3\n'
WHOLE = '[net]\nmodule = "python:nets:make"\n'

BAD = {
    "unknown step": (
        '[compress]\norder = ["prune", "quantise"]',
        "compress.order.1: must be one of 'student', 'prune', 'sparsify', 'quantize', found 'quantise'",
    ),
    "a step twice": (
        '[compress]\norder = ["prune", "prune"]',
        "compress.order: each step is taken once, found 'prune' 2 times",
    ),
    "int8 before the end": (
        '[compress]\norder = ["quantize", "prune"]',
        "compress.order: 'quantize' must come last, for no step goes on from int8, found 'prune' after it",
    ),
    "a student without a table": (
        '[compress]\norder = ["student"]',
        "compress.order: 'student' needs a [compress.student] table with its net, found none",
    ),
    "a table without a step": (
        "[compress.student]\nepochs = 3",
        "compress.student: 'student' must be a step of compress.order, found 'prune', 'quantize'",
    ),
    "a key of another trunk": (
        f'{BEFORE}net = {{ trunk = "lenet", width = 4 }}',
        "compress.student.net: unknown key 'width'; did you mean 'widths'?",
    ),
    "an unknown trunk": (
        f'{BEFORE}net = {{ trunk = "lent" }}',
        "compress.student.net.trunk: must be one of 'mlp', 'lenet', 'plain', 'resnet', 'mobilenet', 'textcnn', "
        "'transformer', 'tcn', or 'python:pkg.mod:factory', found 'lent'",
    ),
    "an unknown sharing scheme": (
        f'{BEFORE}net = {{ sharing = {{ kind = "more" }} }}',
        "compress.student.net.sharing.kind: must be one of 'hard', 'mmoe', 'ple', 'cross-stitch', 'mtan', found 'more'",
    ),
    "attention of a student without maps": (
        f'[compress.distill]\nattention = 1.0\n{BEFORE}net = {{ trunk = "mlp" }}',
        "compress.distill.attention: needs maps of images or sequences, found the trunk 'mlp'",
    ),
    "hints for a whole module": (
        f'[compress.distill]\nhint = 1.0\n{BEFORE}net = {{ module = "python:nets:make" }}',
        "compress.distill.hint: needs a trunk, whose maps are compared, found a whole module",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_step_that_cannot_be_taken_is_told_in_one_line(
    case: str, tiny_recipe_text: str, write_recipe: Callable[[str], Path]
) -> None:
    """With the key, the rule, and what was found."""
    lines, expected = BAD[case]
    path = write_recipe(f"{tiny_recipe_text}\n{lines}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value) == f"{path}: {expected}"


def test_a_student_of_a_whole_module_names_its_trunk(
    tiny_recipe_text: str, write_recipe: Callable[[str], Path]
) -> None:
    """There is nothing in ``[net]`` that it could differ from."""
    text = tiny_recipe_text.partition("[net]")[0] + WHOLE + BEFORE
    with pytest.raises(RecipeError, match=r"compress\.student\.net: must name a trunk where \[net\] is a whole module"):
        load_recipe(write_recipe(f"{text}net = {{ width = 4 }}\n"))
    found = load_recipe(write_recipe(f'{text}net = {{ trunk = "lenet" }}\n'))
    assert student_of(found).net == LeNetSpec()


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        ("width = 4", ResNetSpec(width=4, depth=(1,), head_hidden=8)),
        ('trunk = "resnet", sharing = "mmoe"', ResNetSpec(width=8, depth=(1,), head_hidden=8, sharing=MMoESpec())),
        ('trunk = "lenet"', LeNetSpec(head_hidden=8)),
        ('trunk = "python:my.nets:make"', CustomTrunkSpec(factory="my.nets:make", head_hidden=8)),
        ('module = "python:nets:make"', CustomNetSpec(factory="nets:make")),
    ],
    ids=["width", "sharing", "trunk", "own trunk", "own module"],
)
def test_a_student_differs_from_the_net_in_what_it_says(
    net: str, expected: NetSpec, tiny_recipe_text: str, write_recipe: Callable[[str], Path]
) -> None:
    """Of another trunk only what all trunks have is kept; a report's TOML loads as the same recipe."""
    recipe = load_recipe(write_recipe(f"{tiny_recipe_text}\n{BEFORE}net = {{ {net} }}\n"))
    student = student_of(recipe)
    assert student.net == expected
    assert (student.train.epochs, student.train.learning_rate) == (3, recipe.train.learning_rate)
    assert recipe.compress.variants == ("dense", "dense-int8", "student", "student-int8", "pruned", "pruned-int8")
    again = load_recipe(write_recipe(recipe_toml(recipe_body(recipe))))
    assert canonical_json(recipe_body(again)) == canonical_json(recipe_body(recipe))


def test_a_student_of_one_task_shares_with_nobody(tiny_recipe: Recipe) -> None:
    """As the dense network of one task does."""
    student = StudentSpec(net=ResNetSpec(width=4, sharing=MMoESpec()))
    recipe = msgspec.structs.replace(tiny_recipe, compress=CompressSpec(order=("student",), student=student))
    assert student_of(alone(recipe, recipe.tasks[0])).net == ResNetSpec(width=4, sharing=HardSpec())
    assert recipe.compress.variants == ("dense", "student")
