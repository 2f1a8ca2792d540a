"""Tests of :mod:`mtl_edge.data.splits`."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mtl_edge.data.splits import Samples, Splits, load_samples, load_splits_from
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
    """Names, their order, dtypes, shapes and every bit."""
    path = tmp_path_factory.getbasetemp() / "exact.npz"
    samples.save(path)
    loaded = load_samples(path)
    assert list(loaded.arrays) == list(samples.arrays)
    for name, array in samples.arrays.items():
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        assert loaded[name].tobytes() == array.tobytes()


@given(_samples())
def test_equal_samples_are_saved_as_equal_bytes(tmp_path_factory: pytest.TempPathFactory, samples: Samples) -> None:
    """No time and no place is in the file, so its hash tells its content."""
    folder = tmp_path_factory.getbasetemp()
    samples.save(folder / "first.npz")
    Samples({name: array.copy() for name, array in samples.arrays.items()}).save(folder / "second.npz")
    assert (folder / "first.npz").read_bytes() == (folder / "second.npz").read_bytes()


def test_the_clock_is_not_in_a_saved_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file saved years later has the same bytes."""
    samples = Samples({"a": np.arange(3)})
    samples.save(tmp_path / "now.npz")
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    samples.save(tmp_path / "later.npz")
    assert (tmp_path / "now.npz").read_bytes() == (tmp_path / "later.npz").read_bytes()


def test_splits_are_loaded_under_their_own_names(tmp_path: Path) -> None:
    """Each split comes back as itself, and nothing else is in the folder."""
    splits = Splits(*(Samples({"a": np.full(number, number)}) for number in (4, 3, 2, 1)))
    splits.save(tmp_path)
    loaded = load_splits_from(tmp_path)
    assert [len(part) for part in (loaded.train, loaded.val, loaded.calib, loaded.test)] == [4, 3, 2, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calib.npz", "test.npz", "train.npz", "val.npz"]


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    """A folder that lacks one of the files is told by that file."""
    splits = Splits(*(Samples({"a": np.zeros(1)}) for _ in range(4)))
    splits.save(tmp_path)
    (tmp_path / "calib.npz").unlink()
    with pytest.raises(DataError, match=r"calib\.npz: cannot be read: "):
        load_splits_from(tmp_path)


def test_taken_samples_are_copies_in_the_order_asked_for() -> None:
    """Changing what was taken changes nothing else."""
    samples = Samples({"a": np.arange(5), "b": np.arange(5) * 10})
    taken = samples.take(np.array([3, 1]))
    assert (taken["a"].tolist(), taken["b"].tolist(), len(taken)) == ([3, 1], [30, 10], 2)
    taken["a"][0] = 99
    assert samples["a"].tolist() == [0, 1, 2, 3, 4]


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


@pytest.mark.parametrize("name", ["absent.npz", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """A missing file and a folder are told by their path."""
    assert _fault(tmp_path / name).startswith("cannot be read: ")


def test_arrays_may_have_any_name(tmp_path: Path) -> None:
    """Also those that numpy's own writer takes for options."""
    samples = Samples({"file": np.arange(3), "allow_pickle": np.ones(3)})
    samples.save(tmp_path / "samples.npz")
    loaded = load_samples(tmp_path / "samples.npz")
    assert {name: array.tolist() for name, array in loaded.arrays.items()} == {
        "file": [0, 1, 2],
        "allow_pickle": [1, 1, 1],
    }
