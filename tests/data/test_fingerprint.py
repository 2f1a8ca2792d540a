"""Tests of :mod:`mtl_edge.data.fingerprint`."""

import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mtl_edge.data.fingerprint import parse_source, source_fingerprint, sources_of
from mtl_edge.errors import DataError, RecipeError
from mtl_edge.recipe import DataSpec, Recipe, SourceSpec


def _of(recipe: Recipe, **data: object) -> str | None:
    return source_fingerprint(msgspec.structs.replace(recipe, data=DataSpec(**data)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "file"), [("npy", "many/a.npy"), ("parquet", "many/a.parquet"), ("csv", "many/a.csv")]
)
def test_the_fingerprint_follows_contents_and_names(tiny_recipe: Recipe, kind: str, file: str) -> None:
    """A changed file makes another; so do further and renamed ones of a folder. Its time does not."""
    path = tiny_recipe.folder / file
    path.parent.mkdir()
    path.write_bytes(b"one")
    source = f"{kind}:{file if kind == 'csv' else 'many'}"
    first = _of(tiny_recipe, source=source)
    assert first is not None
    os.utime(path, (1, 1))
    assert _of(tiny_recipe, source=source) == first
    path.write_bytes(b"two")
    assert _of(tiny_recipe, source=source) != first
    path.write_bytes(b"one")
    assert _of(tiny_recipe, source=source) == first
    path.with_stem("b").write_bytes(b"one")
    assert (_of(tiny_recipe, source=source) == first) == (kind == "csv")


def test_the_fingerprint_of_images_follows_their_sizes_and_times(tiny_recipe: Recipe) -> None:
    """Many files are not read; the table of labels is."""
    folder = tiny_recipe.folder / "pictures"
    folder.mkdir()
    (folder / "labels.csv").write_text("file\na.png\n")
    (folder / "a.png").write_bytes(b"one")
    os.utime(folder / "labels.csv", (1, 1))
    found = [_of(tiny_recipe, source="images:pictures")]
    os.utime(folder / "a.png", (5, 5))
    found.append(_of(tiny_recipe, source="images:pictures"))
    (folder / "labels.csv").write_text("file\nb.png\n")
    os.utime(folder / "labels.csv", (1, 1))
    found.append(_of(tiny_recipe, source="images:pictures"))
    assert len(set(found)) == 3


def test_every_source_counts(tiny_recipe: Recipe) -> None:
    """Also the published splits, and each of several."""
    for name in ("a", "b"):
        np.savez(tiny_recipe.folder / f"{name}.npz", x=np.zeros(1))
    one = {"source": "npz:a.npz"}
    found = {
        _of(tiny_recipe, **one),
        _of(tiny_recipe, **one, test_source="npz:b.npz"),
        _of(tiny_recipe, **one, val_source="npz:b.npz", test_source="npz:b.npz"),
        _of(tiny_recipe, sources={"x": SourceSpec(source="npz:a.npz"), "y": SourceSpec(source="npz:b.npz")}),
    }
    assert len(found) == 4


def test_a_missing_file_of_a_folder_is_named(tiny_recipe: Recipe) -> None:
    """What cannot be read cannot be told from what has changed."""
    with pytest.raises(DataError, match=r"absent: cannot be read: "):
        _of(tiny_recipe, source="npy:absent")


def test_a_recipe_without_a_source_is_refused() -> None:
    """One, or several, but not both and not none."""
    with pytest.raises(RecipeError, match=r"data\.source: is required.*found none"):
        sources_of(DataSpec())
    with pytest.raises(RecipeError, match="found both"):
        sources_of(DataSpec(test_source="npz:b.npz", sources={"x": SourceSpec(source="npz:a.npz")}))


def test_a_source_is_a_kind_and_a_place() -> None:
    """Places may hold colons themselves, as functions do."""
    assert parse_source("csv:a:b.csv") == ("csv", "a:b.csv")
    assert parse_source("mnist-pairs") == ("mnist-pairs", "")


def test_paths_start_from_the_recipe(tiny_recipe: Recipe, tmp_path: Path) -> None:
    """Wherever the command is given."""
    np.savez(tmp_path / "a.npz", x=np.zeros(1))
    assert tiny_recipe.folder == tmp_path
    assert _of(tiny_recipe, source="npz:a.npz") == _of(tiny_recipe, source="npz:a.npz")
