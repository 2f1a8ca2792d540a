"""Several sources merged into one data set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mtl_edge.data.source import prepare
from mtl_edge.data.splits import SOURCE, Splits
from mtl_edge.errors import MtlEdgeError
from mtl_edge.recipe import Recipe, load_recipe

RECIPE = """\
[data]
{data}

[data.sources.big]
source = "npz:big.npz"
{big}

[data.sources.small]
source = "{small_source}"
{small}

[tasks.kind]
kind = "multiclass"
target = "label"
classes = 3

[tasks.size]
kind = "regression"
target = "area"

[net]
trunk = "resnet"
"""


def _arrays(count: int, start: int, *targets: str) -> dict[str, np.ndarray]:
    numbers = np.arange(start, start + count)
    made = {"label": numbers % 3, "area": numbers.astype(np.float64)}
    images = np.repeat(numbers.astype(np.uint8)[:, None, None], 4, axis=2)
    return {"image": images, **{name: made[name] for name in targets}}


@pytest.fixture
def merged(tmp_path: Path, write_recipe: Callable[[str], Path]) -> Callable[..., Recipe]:
    """A big source with labels, and a small one with areas; every image holds its number."""
    np.savez(tmp_path / "big.npz", **_arrays(100, 0, "label"))
    np.savez(tmp_path / "small.npz", **_arrays(20, 200, "area"))

    def load(data: str = "", big: str = "", small: str = "", small_source: str = "npz:small.npz") -> Recipe:
        return load_recipe(write_recipe(RECIPE.format(data=data, big=big, small=small, small_source=small_source)))

    return load


def _fault(recipe: Recipe, folder: Path) -> str:
    with pytest.raises(MtlEdgeError) as caught:
        prepare(recipe, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_each_split_has_each_source_s_share(
    merged: Callable[..., Recipe], splits_of: Callable[[Recipe], Splits]
) -> None:
    """A reserved array tells where each sample is from; the sources are mixed."""
    splits = splits_of(merged())
    for samples, share in ((splits.train, 0.7), (splits.val, 0.1), (splits.test, 0.2)):
        origin = samples[SOURCE]
        assert origin.dtype == np.int16
        assert np.bincount(origin).tolist() == [round(100 * share), round(20 * share)]
        np.testing.assert_array_equal(origin, samples["image"][:, 0, 0] >= 200)
    assert 0 in splits.train[SOURCE][-20:]
    assert 1 in splits.train[SOURCE][:30]


def test_labels_that_a_source_lacks_are_missing(
    merged: Callable[..., Recipe], splits_of: Callable[[Recipe], Splits]
) -> None:
    """NaN stands for them, whatever the dtype of the others."""
    samples = splits_of(merged()).train
    numbers, small = samples["image"][:, 0, 0].astype(int), samples[SOURCE] == 1
    np.testing.assert_array_equal(np.isnan(samples["label"]), small)
    np.testing.assert_array_equal(np.isnan(samples["area"]), ~small)
    np.testing.assert_array_equal(samples["label"][~small], numbers[~small] % 3)
    np.testing.assert_array_equal(samples["area"][small], numbers[small])


def test_a_source_can_be_told_to_teach_some_tasks_only(
    merged: Callable[..., Recipe], splits_of: Callable[[Recipe], Splits], tmp_path: Path
) -> None:
    """Labels that are there, but not meant, are left out."""
    np.savez(tmp_path / "small.npz", **_arrays(20, 200, "label", "area"))
    assert not np.isnan(splits_of(merged()).train["label"]).any()
    samples = splits_of(merged(small='tasks = ["size"]')).train
    np.testing.assert_array_equal(np.isnan(samples["label"]), samples[SOURCE] == 1)


def test_inputs_that_differ_are_refused(merged: Callable[..., Recipe], tmp_path: Path) -> None:
    """The message names both."""
    small = _arrays(20, 200, "area")
    np.savez(tmp_path / "small.npz", **small | {"image": small["image"][:, :, :3]})
    assert _fault(merged(), tmp_path) == (
        "data.input: 'image' must be the same in all sources, found uint8 (N, 1, 4) in npz:big.npz and "
        "uint8 (N, 1, 3) in npz:small.npz"
    )
    np.savez(tmp_path / "small.npz", **small | {"image": small["image"].astype(np.float32)})
    assert "found uint8 (N, 1, 4) in npz:big.npz and float32 (N, 1, 4) in npz:small.npz" in _fault(merged(), tmp_path)


def test_targets_of_other_shapes_are_refused(merged: Callable[..., Recipe], tmp_path: Path) -> None:
    """A label per sample and one per pixel cannot be one target."""
    small = _arrays(20, 200, "area", "label")
    np.savez(tmp_path / "small.npz", **small | {"label": np.zeros((20, 4), int)})
    assert _fault(merged(), tmp_path) == (
        "target 'label': must have one shape in all sources, found () for each sample of npz:big.npz and (4,) for "
        "each of npz:small.npz"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"small": 'tasks = ["sise"]'},
            "data.sources.small.tasks: must name tasks, found 'sise', known are kind, size",
        ),
        (
            {"big": 'tasks = ["size"]'},
            "npz:big.npz: tasks.size.target: no array 'area' in the data, found image, label",
        ),
        ({"data": 'source = "npz:big.npz"'}, "data: must have either source or [data.sources.NAME] tables, found both"),
        ({"small_source": "npz:none.npz"}, "none.npz: cannot be read: "),
        ({"small_source": "xls:a"}, "data.source: must be mnist-pairs, "),
        (
            {"small_source": "csv:t.csv"},
            "data.sources: must be all tables or all arrays, found csv:t.csv and npz:big.npz",
        ),
    ],
)
def test_sources_that_do_not_fit_are_one_line(
    merged: Callable[..., Recipe], tmp_path: Path, change: dict[str, str], message: str
) -> None:
    """The place, the rule, and what was found."""
    (tmp_path / "t.csv").write_text("area,x\n" + "1,2\n" * 30)
    assert message in _fault(merged(**change), tmp_path)


def test_a_task_that_no_source_teaches_is_refused(merged: Callable[..., Recipe], tmp_path: Path) -> None:
    """Somebody must have labelled it."""
    np.savez(tmp_path / "small.npz", **_arrays(20, 200, "label"))
    assert _fault(merged(), tmp_path) == "tasks.size: at least one source must have the labels 'area', found none"
    np.savez(tmp_path / "small.npz", **_arrays(20, 200))
    assert _fault(merged(), tmp_path) == "data.sources.small: must have a column for at least one target, found none"


def test_tables_are_merged_with_one_set_of_categories(
    tmp_path: Path, write_recipe: Callable[[str], Path], splits_of: Callable[[Recipe], Splits]
) -> None:
    """Codes mean the same in all of them."""
    (tmp_path / "a.csv").write_text("c,n,label\n" + "".join(f"{'xy'[i % 2]},{i}.5,{i % 3}\n" for i in range(40)))
    (tmp_path / "b.csv").write_text("n,c,area\n" + "".join(f"{i}.5,{'yz'[i % 2]},{i}\n" for i in range(100, 140)))
    text = RECIPE.format(data='columns = ["n", "c"]', big="", small="", small_source="csv:b.csv")
    samples = splits_of(load_recipe(write_recipe(text.replace("npz:big.npz", "csv:a.csv")))).train
    letters = {code: set() for code in (1, 2, 3)}
    for (number, code), origin in zip(
        samples["row" if "row" in samples.arrays else "image"], samples[SOURCE], strict=True
    ):
        letters[int(code)].add(("xy", "yz")[origin][int(number - 0.5) % 2])
    assert sorted(map(tuple, letters.values())) == [("x",), ("y",), ("z",)]
