"""Arrays as sources: npz and npy."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mtl_edge.data.source import prepare
from mtl_edge.data.splits import Splits
from mtl_edge.errors import DataError
from mtl_edge.preprocessing import fit_pixels
from mtl_edge.recipe import DataSpec, Recipe, TargetSpec

Arrays = dict[str, np.ndarray]


def _with(recipe: Recipe, **data: object) -> Recipe:
    return msgspec.structs.replace(recipe, data=msgspec.structs.replace(recipe.data, **data))


def _save(folder: Path, arrays: Arrays) -> None:
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


@pytest.mark.parametrize("compressed", [False, True])
def test_archives_and_folders_give_the_same(
    tiny_recipe: Recipe, tiny_arrays: Arrays, splits_of: Callable[[Recipe], Splits], compressed: bool
) -> None:
    """How the arrays are kept does not matter."""
    _save(tiny_recipe.folder / "tiny", tiny_arrays)
    (np.savez_compressed if compressed else np.savez)(tiny_recipe.folder / "tiny.npz", **tiny_arrays)
    one, other = splits_of(tiny_recipe), splits_of(_with(tiny_recipe, source="npy:tiny"))
    for name in ("train", "val", "calib", "test"):
        for key in tiny_arrays:
            np.testing.assert_array_equal(getattr(one, name)[key], getattr(other, name)[key])


def test_preprocessing_is_fitted_on_train_alone(
    tiny_recipe: Recipe, tiny_data: Path, splits_of: Callable[[Recipe], Splits], tmp_path: Path
) -> None:
    """Mean and deviation are those of the training pixels."""
    folder = tmp_path / "prepared"
    folder.mkdir()
    assert tiny_data.exists()
    assert prepare(tiny_recipe, folder) == fit_pixels(splits_of(tiny_recipe).train["image"].copy())


def test_maps_of_labels_keep_their_integers(
    tiny_recipe: Recipe, tiny_arrays: Arrays, splits_of: Callable[[Recipe], Splits]
) -> None:
    """One label per pixel in eight times the bytes would be the larger part of the data."""
    mask = (tiny_arrays["image"][:, 0] > 100).astype(np.uint8)
    _save(tiny_recipe.folder / "tiny", {**tiny_arrays, "mask": mask})
    recipe = _with(tiny_recipe, source="npy:tiny", targets={"label": TargetSpec(column="mask")})
    multiclass = tiny_recipe.tasks[0]

    class Dense(type(multiclass), frozen=True, kw_only=True, tag="dense-for-the-test"):  # type: ignore[misc]
        def find_fault(self, targets: np.ndarray) -> None:
            assert targets.shape[1:] == (8, 8)

    dense = Dense(name="kind", target="label", classes=3)
    splits = splits_of(msgspec.structs.replace(recipe, tasks=(dense, tiny_recipe.tasks[1])))
    assert splits.train["label"].dtype == np.uint8
    np.testing.assert_array_equal(splits.test["label"], splits.test["image"][:, 0] > 100)


def test_numbers_beyond_float32_are_refused(tiny_recipe: Recipe, tiny_arrays: Arrays, tmp_path: Path) -> None:
    """They would become infinite."""
    _save(tiny_recipe.folder / "tiny", tiny_arrays | {"area": np.full(40, 1e300)})
    with pytest.raises(DataError, match="labels must be finite"):
        prepare(_with(tiny_recipe, source="npy:tiny"), tmp_path)


def test_a_comparison_of_numbers_is_a_target(
    tiny_recipe: Recipe, tiny_arrays: Arrays, splits_of: Callable[[Recipe], Splits]
) -> None:
    """NaN stays a label that nobody gave."""
    area = tiny_arrays["area"].copy()
    area[3] = np.nan
    _save(tiny_recipe.folder / "tiny", tiny_arrays | {"rest": tiny_arrays["area"] % 3, "gap": area})
    targets = {"label": TargetSpec(column="rest", equals=2)}
    splits = splits_of(_with(tiny_recipe, source="npy:tiny", targets=targets))
    np.testing.assert_array_equal(splits.train["label"], splits.train["area"] % 3 == 2)
    targets = {"label": TargetSpec(column="gap", equals=5)}
    splits = splits_of(_with(tiny_recipe, source="npy:tiny", targets=targets))
    for part in (splits.train, splits.val, splits.test):
        np.testing.assert_array_equal(np.isnan(part["label"]), part["area"] == 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros(40, np.uint8)}, "npy:tiny: input 'image' must have the shape (N, C, …), found (N,)"),
        ({"image": np.zeros((40, 1), "U1")}, "npy:tiny: data.input: must be numbers, found dtype <U1"),
        ({"label": np.zeros(40, "U1")}, "npy:tiny: tasks.kind.target: must be numbers, found dtype <U1"),
        ({"image": np.full((40, 1), np.nan)}, "npy:tiny (train split): input 'image': values must be finite"),
        ({"area": np.ones(40)}, "npy:tiny (train split): tasks.size.target 'area': labels must differ, found 1"),
        ({"area": np.ones(39)}, "all arrays must have one length"),
    ],
)
def test_arrays_that_do_not_do_are_one_line(
    tiny_recipe: Recipe, tiny_arrays: Arrays, tmp_path: Path, change: Arrays, message: str
) -> None:
    """The place, the rule, and what was found."""
    _save(tiny_recipe.folder / "tiny", tiny_arrays | change)
    with pytest.raises(DataError) as caught:
        prepare(_with(tiny_recipe, source="npy:tiny"), tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_none_is_named(tiny_recipe: Recipe, tmp_path: Path) -> None:
    """By its path."""
    with pytest.raises(DataError, match=r"absent: must be a folder of \.npy files, found none"):
        prepare(_with(tiny_recipe, source="npy:absent"), tmp_path)


def test_generated_samples_can_be_merged_with_others(
    tiny_recipe: Recipe, splits_of: Callable[[Recipe], Splits]
) -> None:
    """Made splits stay what they are; what is missing in them is missing."""
    _save(
        tiny_recipe.folder / "more",
        {"image": np.zeros((50, 1, 36, 36), np.uint8), "area": np.arange(50.0)},
    )
    spec = msgspec.convert(
        {
            "samples": [30, 10, 10],
            "calibration": 5,
            "targets": {"label": {"column": "left", "equals": 3}},
            "sources": {"pairs": {"source": "mnist-pairs"}, "more": {"source": "npy:more"}},
        },
        DataSpec,
    )
    splits = splits_of(msgspec.structs.replace(tiny_recipe, data=spec))
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [30 + 35, 10 + 5, 10 + 10]
    assert np.isnan(splits.train["label"]).sum() == 35
    assert np.isnan(splits.train["area"]).sum() == 30
