"""Tests of :mod:`mtl_edge.recipe.load`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_edge.data.mnist_pairs import load_digits
from mtl_edge.errors import RecipeError
from mtl_edge.recipe import (
    CustomNetSpec,
    CustomTrunkSpec,
    DistillSpec,
    MMoESpec,
    NetSpec,
    Recipe,
    ResNetSpec,
    load_recipe,
)
from mtl_edge.tasks import Multiclass, Regression
from mtl_edge.zoo import find_recipe

REFERENCE = Path(__file__).parents[2] / "models" / "mnist-pairs" / "recipe.toml"


def test_the_reference_recipe_says_what_its_file_says() -> None:
    """Values of the file arrive typed; the tasks keep the file's order; the name is the folder's."""
    recipe = load_recipe(REFERENCE)
    assert (recipe.name, recipe.folder) == ("mnist-pairs", REFERENCE.parent)
    assert recipe.data.samples == (24_000, 2_000, 5_000)
    assert recipe.tasks == (
        Multiclass(name="left", target="left", classes=10),
        Multiclass(name="right", target="right", classes=10),
        Regression(name="sum", target="sum"),
    )
    assert recipe.compress.prune.ratio == 0.5
    assert recipe.compress.distill == DistillSpec(weight=0.7, temperature=2.0)


def test_the_reference_recipe_allows_the_digits_that_it_is_about() -> None:
    """The class counts of the file are those of the digits in the package."""
    classes = {task.classes for task in load_recipe(REFERENCE).tasks if isinstance(task, Multiclass)}
    assert classes == {int(load_digits().labels.max()) + 1}


def test_the_reference_recipe_is_found_by_name() -> None:
    """The zoo knows it as ``mnist-pairs``."""
    assert load_recipe(find_recipe("mnist-pairs")).tasks == load_recipe(REFERENCE).tasks


def test_what_a_recipe_does_not_say_has_a_default(tiny_recipe: Recipe) -> None:
    """A file without ``[train]``, ``[compress]`` and ``[bench]`` is a whole recipe."""
    assert tiny_recipe.train.epochs >= 1
    assert 0 <= tiny_recipe.compress.prune.ratio < 1
    assert tiny_recipe.bench.threads


def test_a_recipe_of_another_file_name_is_named_after_the_file(tiny_recipe: Recipe) -> None:
    """Only ``recipe.toml`` takes its folder's name."""
    assert tiny_recipe.name == "tiny"


@given(st.integers(0, 2**32 - 1))
def test_every_seed_of_32_bits_is_kept(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """The seed reaches the recipe unchanged."""
    path = tmp_path_factory.getbasetemp() / "seed.toml"
    path.write_text(REFERENCE.read_text(encoding="utf-8").replace("[data]", f"seed = {seed}\n[data]", 1), "utf-8")
    assert load_recipe(path).seed == seed


KINDS = "'binary', 'dense-regression', 'multiclass', 'multilabel', 'ordinal', 'regression', 'segmentation'"
# Each case: text of the tiny recipe -> its replacement, and the error after the file's name.
BAD_RECIPES = {
    "teacher of no kind": (
        "[net]",
        '[compress.distill]\nteacher = "other"\n[net]',
        "compress.distill.teacher: must be one of 'dense', 'single-task', 'ensemble', found 'other'",
    ),
    "pattern of weights that keeps all": (
        "[net]",
        '[compress.sparsify]\npattern = "4:4"\n[net]',
        "compress.sparsify.pattern: must be N:M with N below M, such as '2:4' for 2 of 4 weights that stay, or the "
        "share of the weights that leave, above 0 and below 1, found '4:4'",
    ),
    "masks before another step that trains": (
        "[net]",
        '[compress]\norder = ["sparsify", "prune"]\nsparsify = { pattern = 0.5 }\n[net]',
        "compress.order: 'sparsify' must be the last step that trains, found 'prune' after it",
    ),
    "masks that no step is for": (
        "[net]",
        '[compress.sparsify]\npattern = "2:4"\n[net]',
        "compress.sparsify: 'sparsify' must be a step of compress.order, found 'prune', 'quantize'",
    ),
    "masks without a pattern": (
        "[net]",
        "[compress.sparsify]\nepochs = 1\n[net]",
        "compress.sparsify: the key 'pattern' is required, found none",
    ),
    "ensemble of one": (
        "[net]",
        '[compress.distill]\nteacher = "ensemble"\nmembers = 1\n[net]',
        "compress.distill.members: expected int >= 2, found 1",
    ),
    "teacher's weight of no task": (
        "[net]",
        "[compress.distill]\nweights = { other = 0.5 }\n[net]",
        "compress.distill.weights: must name tasks (kind, size), found 'other'",
    ),
    "single-task teachers of a whole module": (
        '[net]\ntrunk = "resnet"\nwidth = 8\ndepth = [1]\nhead_hidden = 8\n',
        '[compress.distill]\nteacher = "single-task"\n[net]\nmodule = "python:nets:make"\n',
        "compress.distill.teacher: 'single-task' needs a trunk and heads to train apart, found a whole module",
    ),
    "hints of a whole module": (
        '[net]\ntrunk = "resnet"\nwidth = 8\ndepth = [1]\nhead_hidden = 8\n',
        '[compress.distill]\nhint = 1.0\n[net]\nmodule = "python:nets:make"\n',
        "compress.distill.hint: needs a trunk, whose maps are compared, found a whole module",
    ),
    "attention without maps": (
        '[net]\ntrunk = "resnet"\nwidth = 8\ndepth = [1]\nhead_hidden = 8\n',
        '[compress.distill]\nattention = 1.0\n[net]\ntrunk = "mlp"\n',
        "compress.distill.attention: needs maps of images or sequences, found the trunk 'mlp'",
    ),
    "unknown key at the top, near a valid one": (
        "seed = 3",
        "sede = 3",
        "unknown key 'sede'; did you mean 'seed'?",
    ),
    "unknown section, near a valid one": (
        "[net]",
        "[trian]\n[net]",
        "unknown key 'trian'; did you mean 'train'?",
    ),
    "unknown key at the top, near none": (
        "seed = 3",
        "zzz = 3",
        "unknown key 'zzz'; known are bench, compress, data, net, seed, single_task, tasks, train",
    ),
    "unknown key in a section": (
        "width = 8",
        "widht = 8",
        "net: unknown key 'widht'; did you mean 'width'?",
    ),
    "unknown key in a nested section": (
        "[net]",
        "[compress.prune]\nratoi = 0.5\n[net]",
        "compress.prune: unknown key 'ratoi'; did you mean 'ratio'?",
    ),
    "unknown key in a task": (
        "classes = 3",
        "classes = 3\ntaget = 'label'",
        "tasks.kind: unknown key 'taget'; did you mean 'target'?",
    ),
    "budget without a unit": (
        'target = "area"',
        'target = "area"\nmax_drop = "2"',
        "tasks.size.max_drop: must be as in 0.5pt or 2%, found '2'",
    ),
    "points of an error": (
        'target = "area"',
        'target = "area"\nmax_drop = "2pt"',
        "tasks.size.max_drop: size has an error (MAE): must be in %, found '2pt'",
    ),
    "key of another kind of task": (
        'target = "area"',
        'target = "area"\nclasses = 3',
        "tasks.size: unknown key 'classes'; known are max_drop, target, unit",
    ),
    "unknown word beside a list": (
        "classes = 3",
        "classes = 3\nclass_weights = 'balance'",
        "tasks.kind: class_weights: must be 'balanced' or a list, found 'balance'",
    ),
    "unknown word beside a number": (
        'kind = "regression"',
        'kind = "binary"\npositive_weight = "balance"',
        "tasks.size: positive_weight: must be 'balanced' or a number, found 'balance'",
    ),
    "number in place of a list": (
        "classes = 3",
        "classes = 3\nclass_weights = 2.0",
        "tasks.kind: class_weights: expected str | array, got float, found 2.0",
    ),
    "weight of zero": (
        "classes = 3",
        "classes = 3\nclass_weights = [1.0, 0.0, 1.0]",
        "tasks.kind: class_weights.1: expected float > 0.0, found 0.0",
    ),
    "too few weights": (
        "classes = 3",
        "classes = 3\nclass_weights = [1.0, 2.0]",
        "tasks.kind: class_weights: must have one number for each of the 3 classes, found 2",
    ),
    "all of the certainty smoothed away": (
        "classes = 3",
        "classes = 3\nlabel_smoothing = 1.0",
        "tasks.kind: label_smoothing: expected float < 1.0, found 1.0",
    ),
    "name given beside the file's": (
        "seed = 3",
        'name = "mine"',
        "unknown key 'name': a recipe's name is that of its file",
    ),
    "name given beside the table's": (
        "classes = 3",
        'classes = 3\nname = "mine"',
        "tasks.kind: unknown key 'name': a task's name is that of its table",
    ),
    "wrong type at the top": ("seed = 3", "seed = 0.5", "seed: expected int, got float, found 0.5"),
    "wrong type in a section": ("width = 8", 'width = "8"', "net.width: expected int, got str, found '8'"),
    "wrong type in a task": (
        "classes = 3",
        'classes = "3"',
        "tasks.kind: classes: expected int, got str, found '3'",
    ),
    "wrong type in a list": ("depth = [1]", "depth = [1, 'x']", "net.depth.1: expected int, got str, found 'x'"),
    "wrong length of a list": (
        "split = [0.6, 0.2, 0.2]",
        "split = [0.8, 0.2]",
        "data.split: expected array of length 3, got 2, found [0.8, 0.2]",
    ),
    "empty list": ("depth = [1]", "depth = []", "net.depth: expected array of length >= 1, found []"),
    "section that is a value": (
        "seed = 3",
        "train = 3",
        "train: expected object, got int, found 3",
    ),
    "too small": ("width = 8", "width = 0", "net.width: expected int >= 1, found 0"),
    "too small in a task": ("classes = 3", "classes = 1", "tasks.kind: classes: expected int >= 2, found 1"),
    "too large": (
        "[net]",
        "[compress]\nprune = { ratio = 1.0 }\n[net]",
        "compress.prune.ratio: expected float < 1.0, found 1.0",
    ),
    "not a number": (
        "[net]",
        "[train]\nlearning_rate = nan\n[net]",
        "train.learning_rate: expected float > 0.0, found nan",
    ),
    "missing key of a section": ('trunk = "resnet"', "", "net: the key 'trunk' is required, found none"),
    "missing section": (
        '[net]\ntrunk = "resnet"\nwidth = 8\ndepth = [1]\nhead_hidden = 8\n',
        "",
        "the key 'net' is required, found none",
    ),
    "missing key of a task": ("classes = 3\n", "", "tasks.kind: the key 'classes' is required, found none"),
    "task without target": (
        'target = "area"\n',
        "",
        'tasks.size: has no target: name the data\'s array of labels, target = "…"',
    ),
    "task without kind": ('kind = "regression"\n', "", "tasks.size: the key 'kind' is required, found none"),
    "unknown kind": (
        'kind = "regression"',
        'kind = "regresion"',
        f"tasks.size.kind: must be one of {KINDS}, found 'regresion'",
    ),
    "kind that is a list": (
        'kind = "regression"',
        'kind = ["regression"]',
        f"tasks.size.kind: must be one of {KINDS}, found ['regression']",
    ),
    "unknown trunk": (
        'trunk = "resnet"',
        'trunk = "vgg"',
        "net.trunk: must be one of 'mlp', 'lenet', 'plain', 'resnet', 'mobilenet', 'textcnn', 'transformer', 'tcn', or "
        "'python:pkg.mod:factory', found 'vgg'",
    ),
    "trunk that is a number": (
        'trunk = "resnet"',
        "trunk = 3",
        "net.trunk: must be one of 'mlp', 'lenet', 'plain', 'resnet', 'mobilenet', 'textcnn', 'transformer', 'tcn', or "
        "'python:pkg.mod:factory', found 3",
    ),
    "key of another trunk": (
        'trunk = "resnet"',
        'trunk = "mobilenet"\nexpand = 2',
        "net: unknown key 'expand'; did you mean 'expansion'?",
    ),
    "key of another trunk, near none": (
        'trunk = "resnet"\nwidth = 8\ndepth = [1]',
        'trunk = "lenet"\nzzz = 8',
        "net: unknown key 'zzz'; known are head_hidden, sharing, widths",
    ),
    "rule between two keys": (
        'trunk = "resnet"\nwidth = 8\ndepth = [1]',
        'trunk = "transformer"\nwidth = 30',
        "net.width: must be a multiple of heads = 4, found 30",
    ),
    "even kernel": (
        'trunk = "resnet"\nwidth = 8\ndepth = [1]',
        'trunk = "textcnn"\nkernels = [3, 4]',
        "net.kernels: must be odd, found 4",
    ),
    "factory without a function": (
        'trunk = "resnet"',
        'trunk = "python:mine"',
        "net.trunk: must be 'python:pkg.mod:factory', found 'python:mine'",
    ),
    "module beside other keys": (
        'trunk = "resnet"',
        'module = "python:mine:make"',
        "net.module: is the whole network and stands alone, found also 'depth', 'head_hidden', 'width'",
    ),
    "unknown sharing": (
        'trunk = "resnet"',
        'trunk = "resnet"\nsharing = "soft"',
        "net.sharing: must be one of 'hard', 'mmoe', 'ple', 'cross-stitch', 'mtan', or a table with this kind and its "
        "keys, found 'soft'",
    ),
    "unknown kind of sharing": (
        'trunk = "resnet"',
        'trunk = "resnet"\nsharing = { kind = "soft" }',
        "net.sharing.kind: must be one of 'hard', 'mmoe', 'ple', 'cross-stitch', 'mtan', found 'soft'",
    ),
    "key of another sharing": (
        'trunk = "resnet"',
        'trunk = "resnet"\nsharing = { kind = "mmoe", expert = 3 }',
        "net.sharing: unknown key 'expert'; did you mean 'experts'?",
    ),
    "too few experts": (
        'trunk = "resnet"',
        'trunk = "resnet"\nsharing = { kind = "mmoe", experts = 1 }',
        "net.sharing.experts: expected int >= 2, found 1",
    ),
    "sharing that is a number": (
        'trunk = "resnet"',
        'trunk = "resnet"\nsharing = 3',
        "net.sharing: expected object, got int, found 3",
    ),
    "net that is a value": (
        '[net]\ntrunk = "resnet"\nwidth = 8\ndepth = [1]\nhead_hidden = 8\n',
        "[net_]\n",
        "unknown key 'net_'; did you mean 'net'?",
    ),
    "infinite share": (
        "split = [0.6, 0.2, 0.2]",
        "split = [inf, 0.2, 0.2]",
        "data.split.0: expected float <= 1000000000.0, found inf",
    ),
    "task that is a value": (
        "[tasks.kind]",
        "[tasks]\nnumber = 3\n[tasks.kind]",
        "tasks.number: must be a table, found 3",
    ),
    "task named like the input": (
        "[tasks.size]",
        "[tasks.image]",
        "data.input: must differ from every task and target, found 'image'",
    ),
}


@pytest.mark.parametrize("case", BAD_RECIPES)
def test_a_broken_rule_is_told_with_file_key_rule_and_found_value(
    case: str, tiny_recipe_text: str, write_recipe: Callable[[str], Path]
) -> None:
    """The whole message is one line that starts with the file."""
    old, new, expected = BAD_RECIPES[case]
    assert old in tiny_recipe_text
    path = write_recipe(tiny_recipe_text.replace(old, new))
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value) == f"{path}: {expected}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('trunk = "resnet"', ResNetSpec(width=8, depth=(1,), head_hidden=8)),
        ('trunk = "resnet"\nsharing = "mmoe"', ResNetSpec(width=8, depth=(1,), head_hidden=8, sharing=MMoESpec())),
        (
            'trunk = "resnet"\nsharing = { kind = "mmoe", experts = 6 }',
            ResNetSpec(width=8, depth=(1,), head_hidden=8, sharing=MMoESpec(experts=6)),
        ),
    ],
)
def test_a_sharing_scheme_is_a_name_or_a_table(
    line: str, expected: NetSpec, tiny_recipe_text: str, write_recipe: Callable[[str], Path]
) -> None:
    """The name alone takes the scheme's defaults; none means hard sharing."""
    assert load_recipe(write_recipe(tiny_recipe_text.replace('trunk = "resnet"', line))).net == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('trunk = "python:my.nets:make"', CustomTrunkSpec(factory="my.nets:make")),
        ('module = "python:nets:make"', CustomNetSpec(factory="nets:make")),
    ],
)
def test_a_network_of_the_user_s_is_named_by_its_factory(
    lines: str, expected: NetSpec, tiny_recipe_text: str, write_recipe: Callable[[str], Path]
) -> None:
    """As a trunk under our heads, or as the whole network."""
    before = 'trunk = "resnet"\nwidth = 8\ndepth = [1]\nhead_hidden = 8'
    assert load_recipe(write_recipe(tiny_recipe_text.replace(before, lines))).net == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "tasks: at least one [tasks.NAME] table is required, found {}"),
        ("tasks = [1]", "tasks: at least one [tasks.NAME] table is required, found [1]"),
    ],
)
def test_a_recipe_without_tasks_is_refused(text: str, expected: str, write_recipe: Callable[[str], Path]) -> None:
    """The message says what a task looks like."""
    path = write_recipe(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value) == f"{path}: {expected}"


def test_two_tasks_of_one_name_are_refused(tiny_recipe_text: str, write_recipe: Callable[[str], Path]) -> None:
    """TOML itself forbids two tables of one name; the message names them and the line."""
    text = tiny_recipe_text + '\n[tasks.kind]\nkind = "regression"\ntarget = "area"\n'
    line = text.splitlines().index("[tasks.kind]", text.splitlines().index("[tasks.kind]") + 1) + 1
    path = write_recipe(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: is not valid TOML: ")
    assert "'kind'" in message
    assert f"line {line}" in message


@pytest.mark.parametrize("content", [b"this is not TOML", b"seed = ", b"[data\n", b"\xff\xfe\x00", b"\x80"])
def test_a_file_that_is_not_toml_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    """Neither bad syntax nor bad bytes end in a traceback."""
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: is not valid TOML: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["absent.toml", "absent/recipe.toml", "."])
def test_a_file_that_cannot_be_read_is_told_by_its_path(tmp_path: Path, name: str) -> None:
    """A missing file and a folder are the user's to mend."""
    path = tmp_path / name
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: cannot be read: ")
    assert "\n" not in str(caught.value)


def test_a_long_value_is_cut_in_the_message(tiny_recipe_text: str, write_recipe: Callable[[str], Path]) -> None:
    """A message stays readable whatever was found."""
    path = write_recipe(tiny_recipe_text.replace("width = 8", f"width = '{'x' * 1000}'"))
    with pytest.raises(RecipeError, match=r"net\.width: expected int, got str, found 'x{10,60}…$"):
        load_recipe(path)
