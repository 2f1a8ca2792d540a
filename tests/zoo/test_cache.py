"""Where fetched data sets stand, and what is said where they do not."""

import dataclasses
import sys
from pathlib import Path

import pytest

from mtl_edge.errors import DataError
from mtl_edge.storage import cache_folder
from mtl_edge.zoo import cache as module
from mtl_edge.zoo.cache import find_files, find_table, is_whole
from mtl_edge.zoo.catalogue import DATA_SETS, DataSet, Wheel, find_data_set
from mtl_edge.zoo.fetch import fetch


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "~/.cache/mtl-edge"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/mtl-edge"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "~/.cache/mtl-edge"),
        ("darwin", {}, "~/Library/Caches/mtl-edge"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/mtl-edge/Cache"),
        ("linux", {"MTL_EDGE_CACHE": "~/mine", "XDG_CACHE_HOME": "/x"}, "~/mine"),
    ],
)
def test_the_cache_is_in_the_platforms_place(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    """Unless ``MTL_EDGE_CACHE`` names another."""
    for name in ("MTL_EDGE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == Path(expected).expanduser()


@pytest.fixture
def fetched(in_wheel: DataSet, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> DataSet:
    """The two tables, in the cache."""
    monkeypatch.setattr(module, "find_data_set", lambda _: in_wheel)
    fetch(in_wheel, lambda _: None, [wheel])
    return in_wheel


def test_a_fetched_table_is_found_by_its_name(fetched: DataSet, cache: Path) -> None:
    """And one that is not named is asked for, where there are several."""
    assert find_table("tiny/test") == cache / "tiny" / "test.parquet"
    assert find_files(fetched) == cache / "tiny"
    with pytest.raises(DataError, match="tiny has the tables zoo:tiny/train, zoo:tiny/test, found 'none'"):
        find_table("tiny")
    with pytest.raises(DataError, match="found 'val'"):
        find_table("tiny/val")


@pytest.mark.parametrize("name", ["adult", "reviews"])
def test_a_table_that_was_not_fetched_names_the_command(name: str) -> None:
    """In one line."""
    with pytest.raises(
        DataError, match=rf"^zoo:{name}: the table is not on this machine yet: mtl-edge zoo fetch {name}$"
    ):
        find_table(name)


def test_a_damaged_table_is_not_given(fetched: DataSet, cache: Path) -> None:
    """Of the same size, or of another."""
    path = cache / "tiny" / "train.parquet"
    content = path.read_bytes()
    for damaged in (content[:-1], content[:-1] + b"x", b""):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"train.parquet: is damaged; to replace it: mtl-edge zoo fetch tiny"):
            find_table("tiny/train")
        assert find_files(fetched) is None


def test_files_of_the_systems_own_package_are_found(fetched: DataSet, cache: Path, tmp_path: Path) -> None:
    """Before those of the cache."""
    (cache / "tiny").rename(tmp_path / "system")
    assert find_files(fetched) is None
    assert find_files(dataclasses.replace(fetched, provided=str(tmp_path / "system"))) == tmp_path / "system"


def test_an_unknown_data_set_is_refused_with_the_nearest() -> None:
    """As a typo wants it."""
    with pytest.raises(DataError, match=r"the data sets are adult, .* found 'river'; did you mean 'river-flow'"):
        find_data_set("river")


@pytest.mark.parametrize("data_set", DATA_SETS, ids=lambda data_set: data_set.name)
def test_the_catalogue_pins_everything(data_set: DataSet) -> None:
    """A version, a size and a SHA-256 for whatever is downloaded; a licence is stated, or said to be unstated."""
    for file in data_set.files:
        assert len(file.sha256) == 64
        assert 0 < file.size < 30_000_000
    if isinstance(data_set.origin, Wheel):
        assert "==" in data_set.origin.requirement
        assert len(data_set.origin.sha256) == 64
    assert "licence" in data_set.licence or "MIT" in data_set.licence


def test_the_files_of_debian_are_those_of_the_catalogue() -> None:
    """Where its package is installed."""
    fashion = find_data_set("fashion-mnist")
    folder = Path(fashion.provided or "")
    if not folder.is_dir():
        pytest.skip("dataset-fashion-mnist is not installed")
    assert all(is_whole(folder / file.name, file) for file in fashion.files)
