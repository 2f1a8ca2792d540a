"""Small data sets: one in a wheel, one on a web site, and a cache of the test's own."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mtl_edge.storage import sha256_of, sha256_of_file
from mtl_edge.zoo.catalogue import DataFile, DataSet, Website, Wheel

_CONTENTS = {"train.parquet": b"PAR1 first PAR1" * 500, "test.parquet": b"PAR1 second PAR1" * 300}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder, which does not exist yet."""
    monkeypatch.setenv("MTL_EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def contents() -> dict[str, bytes]:
    """The two files of the data set, by name."""
    return _CONTENTS


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel that pip accepts, with the two files in it."""
    path = tmp_path / "index" / "tiny_data-1.0-py3-none-any.whl"
    path.parent.mkdir()
    info = "tiny_data-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in _CONTENTS.items():
            archive.writestr(f"tiny_data/{name}", content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-data\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def in_wheel(wheel: Path) -> DataSet:
    """The data set of the wheel."""
    return DataSet(
        name="tiny",
        title="Tiny: two tables of nothing",
        licence="none at all",
        origin=Wheel("tiny-data==1.0", sha256_of_file(wheel), wheel.stat().st_size),
        files=_files("tiny_data/"),
    )


@pytest.fixture
def on_website() -> Callable[[str], DataSet]:
    """The same data set at an address."""
    return lambda url: DataSet("tiny", "Tiny: two tables of nothing", "none at all", Website(url), _files(""))


def _files(folder: str) -> tuple[DataFile, ...]:
    return tuple(DataFile(name, folder + name, sha256_of(content), len(content)) for name, content in _CONTENTS.items())
