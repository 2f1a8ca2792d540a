"""Tests of :mod:`mtl_edge.data.splits`."""

import pickle
import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mtl_edge.data.splits import SPLIT_NAMES, Samples, load_samples, load_splits_from, rows_of
from mtl_edge.errors import DataError

_DTYPES = st.sampled_from(["uint8", "int64", "float16", "float32", "float64", "bool"])


@st.composite
def _samples(draw: st.DrawFn) -> Samples:
    count = draw(st.integers(1, 5))
    names = draw(st.lists(st.sampled_from(["image", "left", "right", "a b", "Größe"]), min_size=1, unique=True))
    shapes = st.tuples(st.just(count), *[st.integers(1, 3)] * draw(st.integers(0, 2)))
    return Samples({name: draw(npst.arrays(draw(_DTYPES), draw(shapes))) for name in names})


def _fault(path: Path) -> str:
    """The message that a file is refused with, which is one line and starts with the path."""
    with pytest.raises(DataError) as caught:
        load_samples(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@given(_samples())
def test_what_is_saved_is_loaded_exactly(tmp_path_factory: pytest.TempPathFactory, samples: Samples) -> None:
    """Names, dtypes, shapes and every bit."""
    folder = tmp_path_factory.mktemp("exact")
    samples.save(folder)
    loaded = load_samples(folder)
    assert sorted(loaded.arrays) == sorted(samples.arrays)
    for name, array in samples.arrays.items():
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        assert loaded[name].tobytes() == array.tobytes()


@given(_samples())
def test_equal_samples_are_saved_as_equal_bytes(tmp_path_factory: pytest.TempPathFactory, samples: Samples) -> None:
    """No time and no place is in the files, so their hashes tell their content."""
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    samples.save(first)
    Samples({name: array.copy() for name, array in samples.arrays.items()}).save(second)
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        path.name: path.read_bytes() for path in second.iterdir()
    }


def _saved(folder: Path) -> None:
    for length, name in enumerate(SPLIT_NAMES, start=1):
        Samples({"a": np.full(length, length)}).save(folder / name)


def test_splits_are_loaded_under_their_own_names(tmp_path: Path) -> None:
    """Each split comes back as itself."""
    _saved(tmp_path)
    loaded = load_splits_from(tmp_path)
    assert [len(part) for part in (loaded.train, loaded.val, loaded.calib, loaded.test)] == [1, 2, 3, 4]


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    """A folder that lacks one of the splits is told by that split."""
    _saved(tmp_path)
    shutil.rmtree(tmp_path / "calib")
    with pytest.raises(DataError, match="calib: cannot be read: "):
        load_splits_from(tmp_path)


def test_a_folder_is_mapped_and_not_read(tmp_path: Path) -> None:
    """Arrays of a folder are views of files: they cannot be written to, and what was taken of them can."""
    _saved(tmp_path)
    mapped = load_splits_from(tmp_path).test["a"]
    assert type(mapped) is np.ndarray
    assert not mapped.flags.writeable
    assert mapped.base is not None
    taken = load_splits_from(tmp_path).test.take(np.array([0, 2]))
    assert taken["a"].flags.writeable
    assert taken["a"].base is None


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\x93NUMPY\x01\x00", pickle.dumps([1])])
def test_a_damaged_file_of_a_folder_is_named(tmp_path: Path, content: bytes) -> None:
    """Stumps, texts and pickles end in one line, not in a traceback."""
    _saved(tmp_path)
    (tmp_path / "val" / "b.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"b\.npy: is not a readable \.npy of a plain array: ") as caught:
        load_samples(tmp_path / "val")
    assert "\n" not in str(caught.value)


def test_a_truncated_file_of_a_folder_is_refused(tmp_path: Path) -> None:
    """Reading beyond the end of a mapped file would end the process."""
    Samples({"a": np.zeros((100, 100))}).save(tmp_path)
    with (tmp_path / "a.npy").open("r+b") as stream:
        stream.truncate(5000)
    with pytest.raises(DataError, match=r"is not a readable \.npy of a plain array: "):
        load_samples(tmp_path)


def test_objects_in_a_folder_are_refused(tmp_path: Path) -> None:
    """Loading data never runs what the data says."""
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match=r"is not a readable \.npy of a plain array: "):
        load_samples(tmp_path)


def test_taken_samples_are_copies_in_the_order_asked_for() -> None:
    """Changing what was taken changes nothing else."""
    samples = Samples({"a": np.arange(5), "b": np.arange(5) * 10})
    taken = samples.take(np.array([3, 1]))
    assert (taken["a"].tolist(), taken["b"].tolist(), len(taken)) == ([3, 1], [30, 10], 2)
    taken["a"][0] = 99
    assert samples["a"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_are_those_asked_for_wherever_the_array_is(tmp_path: Path, order: Literal["C", "F"]) -> None:
    """In memory, mapped from a file, or a part of what is mapped: copies, which nothing writes back."""
    array = np.asarray(np.random.default_rng(0).normal(size=(50, 3, 4)), order=order)
    Samples({"x": array}).save(tmp_path)
    mapped, positions = load_samples(tmp_path)["x"], np.array([41, 0, 7, 7])
    file = mapped.base
    assert isinstance(file, np.memmap)
    parts = ((mapped[5:49], array[5:49]), (file[5:49].view(np.ndarray), array[5:49]), (mapped[::-1], array[::-1]))
    for source, rows in ((array, array), (mapped, array), *parts):
        found = rows_of(source, positions)
        np.testing.assert_array_equal(found, rows[positions])
        found[:] = 0
    np.testing.assert_array_equal(mapped, array)


def test_rows_of_a_file_leave_it_out_of_memory(tmp_path: Path) -> None:
    """A few rows of everywhere would map the whole file, for a fault brings its neighbours along."""
    size = 64 << 20
    Samples({"x": np.ones((size >> 10, 1 << 10), np.uint8)}).save(tmp_path)
    mapped = load_samples(tmp_path)["x"]
    positions = np.random.default_rng(0).permutation(len(mapped))[:8192]
    process = psutil.Process()
    before = process.memory_info().rss
    for part in np.split(positions, 256):
        assert rows_of(mapped, part).min() == 1
    assert process.memory_info().rss - before < size / 4


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    """Loading data never runs what the data says."""
    path = tmp_path / "objects.npz"
    np.savez(path, fine=np.zeros(1), labels=np.array([{"a": 1}], dtype=object))
    assert _fault(path).startswith("is not a readable .npz of plain arrays: ")


def test_a_bare_pickle_is_refused(tmp_path: Path) -> None:
    """A pickle with the name of an .npz is not opened either."""
    path = tmp_path / "pickle.npz"
    np.array([{"a": 1}], dtype=object).dump(path)
    assert _fault(path).startswith("is not a readable .npz of plain arrays: ")


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty files, texts and stumps end in one line, not in a traceback."""
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    assert _fault(path).startswith("is not a readable .npz of plain arrays: ")


@given(st.integers(0, 63))
def test_an_array_with_a_changed_byte_is_refused(tmp_path_factory: pytest.TempPathFactory, position: int) -> None:
    """The archive's checksums are heeded."""
    path = tmp_path_factory.getbasetemp() / "changed.npz"
    values = np.arange(100, 164, dtype=np.uint8)
    np.savez(path, a=values)
    content = bytearray(path.read_bytes())
    content[content.index(values.tobytes()) + position] ^= 1
    path.write_bytes(content)
    assert _fault(path).startswith("is not a readable .npz of plain arrays: ")


def test_arrays_of_unequal_lengths_are_refused(tmp_path: Path) -> None:
    """The message shows every array's length."""
    path = tmp_path / "data.npz"
    np.savez(path, image=np.zeros((3, 2)), label=np.zeros(4))
    assert _fault(path) == "all arrays must have one length, found {'image': 3, 'label': 4}"


def test_an_archive_without_arrays_is_refused(tmp_path: Path) -> None:
    """Nothing is not a data set."""
    path = tmp_path / "data.npz"
    np.savez(path)
    assert _fault(path) == "must hold at least one array, found none"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is told by its path."""
    assert _fault(tmp_path / "absent.npz").startswith("cannot be read: ")


def test_a_folder_without_arrays_is_refused(tmp_path: Path) -> None:
    """Nothing is not a data set."""
    assert _fault(tmp_path) == "must hold at least one array, found none"


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
def test_arrays_may_have_any_name(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """Also those that no file can have."""
    folder = tmp_path_factory.mktemp("any")
    Samples({name: np.arange(3)}).save(folder)
    assert {found: array.tolist() for found, array in load_samples(folder).arrays.items()} == {name: [0, 1, 2]}
    assert [path.parent for path in folder.rglob("*")] == [folder]
