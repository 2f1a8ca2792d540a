"""What the tests of data sources share."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from mtl_edge.data.source import prepare
from mtl_edge.data.splits import Splits, load_splits_from
from mtl_edge.recipe import Recipe


@pytest.fixture(scope="session")
def splits_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Recipe], Splits]:
    """Prepare a recipe's data in a new folder, and map what came out."""
    root, numbers = tmp_path_factory.mktemp("prepared"), itertools.count()

    def splits(recipe: Recipe) -> Splits:
        folder: Path = root / str(next(numbers))
        folder.mkdir()
        prepare(recipe, folder)
        assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["calib", "test", "train", "val"]
        return load_splits_from(folder)

    return splits
