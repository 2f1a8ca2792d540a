"""A folder of images as a source."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtl_edge.data.source import prepare
from mtl_edge.data.splits import Splits
from mtl_edge.errors import DataError, MtlEdgeError
from mtl_edge.preprocessing import Pixels
from mtl_edge.recipe import Recipe, load_recipe

RECIPE = """\
[data]
source = "images:pictures"
size = [4, 6]
{data}

[tasks.side]
kind = "multiclass"
target = "side"
classes = 2

[tasks.light]
kind = "regression"
target = "light"

[net]
trunk = "resnet"
"""


@pytest.fixture
def pictures(tmp_path: Path, write_recipe: Callable[[str], Path]) -> Callable[..., Recipe]:
    """Thirty pictures of three sizes, each in one colour that tells it from the others."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    rows = []
    for number in range(30):
        name = f"{'deep/' if number % 2 else ''}p{number}.png"
        Image.new("RGB", (8 + number % 3, 9), (number * 8, 0, 255 - number)).save(folder / name)
        rows.append({"file": name, "side": ("left", "right")[number % 2], "light": number * 8})
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return lambda data="": load_recipe(write_recipe(RECIPE.format(data=data)))


def _fault(recipe: Recipe, folder: Path) -> str:
    with pytest.raises(MtlEdgeError) as caught:
        prepare(recipe, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_images_keep_their_labels(pictures: Callable[..., Recipe], splits_of: Callable[..., Splits]) -> None:
    """Height and width are those asked for, the channels come first, and the first of them is the label here."""
    splits = splits_of(pictures())
    for samples in (splits.train, splits.val, splits.test):
        assert (samples["image"].shape[1:], samples["image"].dtype) == ((3, 4, 6), np.uint8)
        assert (samples["image"] == samples["image"][:, :, :1, :1]).all()
        np.testing.assert_array_equal(samples["image"][:, 0, 0, 0], samples["light"])
        np.testing.assert_array_equal(samples["side"], samples["light"] // 8 % 2)


def test_images_can_be_gray(pictures: Callable[..., Recipe], splits_of: Callable[..., Splits], tmp_path: Path) -> None:
    """One channel, standardised as pixels are."""
    recipe = pictures("grayscale = true")
    assert splits_of(recipe).train["image"].shape[1:] == (1, 4, 6)
    preprocessing = prepare(recipe, tmp_path)
    assert isinstance(preprocessing, Pixels)
    assert len(preprocessing.mean) == 1


@pytest.mark.parametrize("mode", ["P", "1", "L", "LA", "RGBA", "CMYK", "I;16"])
def test_images_of_any_mode_become_rgb(
    pictures: Callable[..., Recipe], splits_of: Callable[..., Splits], mode: str
) -> None:
    """Palettes, transparency, bits and inks are no fault."""
    recipe = pictures()
    name = "p0.png" if mode != "CMYK" else "p0.tiff"
    Image.new(mode, (5, 5)).save(recipe.folder / "pictures" / name)
    assert splits_of(recipe).train["image"].shape[1] == 3


def test_a_missing_image_is_named_with_its_row(pictures: Callable[..., Recipe], tmp_path: Path) -> None:
    """Rows are counted from 1 below the header."""
    recipe = pictures()
    (recipe.folder / "pictures" / "deep" / "p7.png").unlink()
    assert _fault(recipe, tmp_path) == "images:pictures: row 8: no such image, found 'deep/p7.png'"


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n\0\0"])
def test_a_damaged_image_is_named_with_its_row(pictures: Callable[..., Recipe], tmp_path: Path, content: bytes) -> None:
    """Whatever is in the file."""
    recipe = pictures()
    (recipe.folder / "pictures" / "p2.png").write_bytes(content)
    assert _fault(recipe, tmp_path).startswith("images:pictures: row 3: the image 'p2.png' cannot be read: ")


def test_a_truncated_image_is_refused(pictures: Callable[..., Recipe], tmp_path: Path) -> None:
    """Half a picture is none."""
    recipe = pictures()
    path = recipe.folder / "pictures" / "p2.png"
    Image.effect_noise((60, 60), 90).save(path)
    path.write_bytes(path.read_bytes()[:900])
    assert _fault(recipe, tmp_path).startswith("images:pictures: row 3: the image 'p2.png' cannot be read: ")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            'file_column = "fil"',
            "images:pictures: data.file_column: no array 'fil' in the data, found file, light, side",
        ),
        ('labels = "table.csv"', "images:pictures (table.csv): cannot be read: "),
        (
            'input = "light2"\n[data.targets.light]\ncolumn = "lite"',
            "images:pictures: data.targets.light.column: no array",
        ),
    ],
)
def test_wrong_tables_are_one_line(pictures: Callable[..., Recipe], tmp_path: Path, data: str, message: str) -> None:
    """The place, the rule, and what was found."""
    assert _fault(pictures(data), tmp_path).startswith(message)


def test_a_size_is_required(
    pictures: Callable[..., Recipe], write_recipe: Callable[[str], Path], tmp_path: Path
) -> None:
    """Pictures differ in size, and the network's input does not."""
    pictures()
    recipe = load_recipe(write_recipe(RECIPE.replace("size = [4, 6]\n{data}", "")))
    assert _fault(recipe, tmp_path).startswith("data.size: is needed by images:FOLDER")


def test_a_row_without_a_file_name_is_refused(pictures: Callable[..., Recipe], tmp_path: Path) -> None:
    """A gap in the column of names."""
    recipe = pictures()
    table = recipe.folder / "pictures" / "labels.csv"
    table.write_text(table.read_text().replace("deep/p3.png", ""))
    assert _fault(recipe, tmp_path) == "images:pictures: row 4: column 'file' must name an image, found none"
    assert issubclass(DataError, MtlEdgeError)
