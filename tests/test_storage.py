"""Tests of :mod:`mtl_edge.storage`."""

import errno
import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_edge.errors import WorkdirError
from mtl_edge.storage import StageCache, exclusive, sha256_of, sha256_of_file, sweep, write_atomically


def _disk_is_full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _writes(content: str) -> Callable[[Path], None]:
    def work(folder: Path) -> None:
        (folder / "part").mkdir()
        (folder / "part" / "result.txt").write_text(content)

    return work


def _unfinished(folder: Path) -> list[Path]:
    return list(folder.glob(".unfinished-*"))


@given(st.lists(st.binary(max_size=20)))
def test_hash_of_parts_is_the_hash_of_their_concatenation(parts: list[bytes]) -> None:
    """Where the parts are cut does not matter."""
    assert sha256_of(*parts) == hashlib.sha256(b"".join(parts)).hexdigest()


def test_hash_of_a_file_is_the_hash_of_its_bytes(tmp_path: Path) -> None:
    """A file's hash is that of its content, not of its name."""
    (tmp_path / "a").write_bytes(b"content")
    assert sha256_of_file(tmp_path / "a") == hashlib.sha256(b"content").hexdigest()


# --- write_atomically ----------------------------------------------------------------------------------------------


def test_text_is_written_as_utf_8_into_folders_that_are_made(tmp_path: Path) -> None:
    """Missing folders are no error, and text has one encoding everywhere."""
    write_atomically(tmp_path / "a" / "b" / "file.txt", "R² … ×")
    assert (tmp_path / "a" / "b" / "file.txt").read_bytes() == "R² … ×".encode()


def test_a_second_write_replaces_the_first(tmp_path: Path) -> None:
    """A reader finds only the new content, and nothing else in the folder."""
    write_atomically(tmp_path / "file", b"old and longer")
    write_atomically(tmp_path / "file", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"new"}


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_a_written_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    """The temporary file's private mode does not stay."""
    write_atomically(tmp_path / "ours", b"")
    (tmp_path / "plain").touch()
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")}
    assert len(modes) == 1


def test_the_old_content_survives_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing write changes nothing, leaves no temporary file, and is told in one line."""
    target = tmp_path / "file"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", _disk_is_full)
    with pytest.raises(WorkdirError) as caught:
        write_atomically(target, b"new")
    assert str(caught.value) == f"{target}: cannot be written: {os.strerror(errno.ENOSPC)}"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control-C between writing and renaming leaves no file, and is not disguised."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("inner", ["file", "folder/file"])
def test_a_place_below_a_file_cannot_be_written(tmp_path: Path, inner: str) -> None:
    """Where a folder is needed but a file stands, the error names the place."""
    (tmp_path / "obstacle").write_bytes(b"kept")
    with pytest.raises(WorkdirError, match=r"obstacle.*: cannot be written: "):
        write_atomically(tmp_path / "obstacle" / inner, b"new")
    assert (tmp_path / "obstacle").read_bytes() == b"kept"


def test_errors_that_are_not_about_storage_are_not_disguised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An OSError of another kind is a bug, and stays what it is."""

    def fail(descriptor: int) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        write_atomically(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


# --- StageCache ----------------------------------------------------------------------------------------------------


def test_a_finished_stage_is_found_again_under_the_same_key(tmp_path: Path) -> None:
    """Another cache object, as in another process, finds the same folder and digest."""
    built = StageCache(tmp_path).build("train", {"seed": 1, "parent": "abc"}, _writes("weights"))
    assert StageCache(tmp_path).find("train", {"parent": "abc", "seed": 1}) == built
    assert (built.folder / "part" / "result.txt").read_text() == "weights"


@pytest.mark.parametrize(
    ("name", "depends_on"),
    [
        ("prune", {"seed": 1, "recipe": {"epochs": 2}}),
        ("train", {"seed": 2, "recipe": {"epochs": 2}}),
        ("train", {"seed": 1, "recipe": {"epochs": 3}}),
        ("train", {"seed": 1}),
        ("train", {"seed": 1, "recipe": {"epochs": 2}, "code": None}),
    ],
)
def test_any_changed_dependency_makes_a_new_entry(tmp_path: Path, name: str, depends_on: dict[str, object]) -> None:
    """A stage is never reused for another name or other dependencies, and the old entry stays."""
    cache = StageCache(tmp_path)
    first = cache.build("train", {"seed": 1, "recipe": {"epochs": 2}}, _writes("first"))
    assert cache.find(name, depends_on) is None
    second = cache.build(name, depends_on, _writes("second"))
    assert second.folder != first.folder
    assert cache.find("train", {"seed": 1, "recipe": {"epochs": 2}}) == first


def test_the_digest_tells_what_a_stage_wrote(tmp_path: Path) -> None:
    """Equal files give equal digests whatever made them; other content gives another digest."""
    cache = StageCache(tmp_path)
    digests = [cache.build("s", {"key": key}, _writes(text)).digest for key, text in ((1, "a"), (2, "a"), (3, "b"))]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("damage", ["changed", "truncated", "removed", "added", "record garbled", "record removed"])
def test_a_damaged_stage_is_not_found_and_can_be_built_again(tmp_path: Path, damage: str) -> None:
    """What is not exactly what was written is not used, and a new build takes its place."""
    cache = StageCache(tmp_path)
    built = cache.build("train", {}, _writes("weights"))
    result, record = built.folder / "part" / "result.txt", built.folder / "stage.json"
    match damage:
        case "changed":
            result.write_text("weightz")
        case "truncated":
            result.write_text("weigh")
        case "removed":
            result.unlink()
        case "added":
            result.with_name("more.txt").write_text("more")
        case "record garbled":
            record.write_bytes(record.read_bytes()[:-10])
        case "record removed":
            record.unlink()
    assert cache.find("train", {}) is None
    assert cache.build("train", {}, _writes("weights")) == built
    assert cache.find("train", {}) == built
    assert sorted(path for path in built.folder.rglob("*") if path.is_file()) == [result, record]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failing_work_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    """A stage exists only once all of it was written, and the error is not disguised."""

    def fail(folder: Path) -> None:
        _writes("half")(folder)
        raise error

    cache = StageCache(tmp_path / "stages")
    with pytest.raises(error):
        cache.build("train", {}, fail)
    assert list(cache.root.iterdir()) == []
    assert cache.find("train", {}) is None


def test_a_full_disk_leaves_no_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the files cannot be brought to disk, there is a WorkdirError of one line and no entry."""
    monkeypatch.setattr(os, "fsync", _disk_is_full)
    cache = StageCache(tmp_path / "stages")
    with pytest.raises(WorkdirError) as caught:
        cache.build("train", {}, _writes("weights"))
    assert str(caught.value).endswith(f": cannot be written: {os.strerror(errno.ENOSPC)}")
    assert "\n" not in str(caught.value)
    assert list(cache.root.iterdir()) == []


def test_a_cache_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    """A cache whose folder cannot be made is a WorkdirError, and its work is not done."""
    (tmp_path / "obstacle").touch()

    def never(folder: Path) -> None:
        pytest.fail("worked without a folder")

    with pytest.raises(WorkdirError, match="cannot be written"):
        StageCache(tmp_path / "obstacle" / "stages").build("train", {}, never)


def test_sweep_removes_leftovers_and_keeps_finished_stages(tmp_path: Path) -> None:
    """What a killed run left goes; what was finished stays."""
    cache = StageCache(tmp_path)
    built = cache.build("train", {}, _writes("weights"))
    leftover = tmp_path / ".unfinished-train-abcdef"
    leftover.mkdir()
    _writes("half")(leftover)
    (tmp_path / ".unfinished-file").touch()
    sweep(tmp_path)
    assert _unfinished(tmp_path) == []
    assert cache.find("train", {}) == built


def test_sweep_of_an_absent_folder_does_nothing(tmp_path: Path) -> None:
    """The first run has nothing to sweep, and sweeping makes no folder."""
    sweep(tmp_path / "stages")
    assert list(tmp_path.iterdir()) == []


# --- exclusive -----------------------------------------------------------------------------------------------------

_HOLD = """
import sys
from pathlib import Path
from mtl_edge.errors import WorkdirError
from mtl_edge.storage import exclusive
try:
    with exclusive(Path(sys.argv[1])):
        print("held")
except WorkdirError as error:
    print(error)
"""


def _second_holder(folder: Path) -> str:
    command = [sys.executable, "-c", _HOLD, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_second_process_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    """One holder at a time: the other is told in one line, and may have the folder afterwards."""
    folder = tmp_path / "run"
    with exclusive(folder):
        refused = _second_holder(folder)
    assert refused == f"{folder}: another run is using this workdir; wait for it, or give --workdir"
    assert _second_holder(folder) == "held"


def test_a_failing_holder_lets_go(tmp_path: Path) -> None:
    """The lock does not outlive an error inside."""
    with pytest.raises(RuntimeError), exclusive(tmp_path):
        raise RuntimeError
    with exclusive(tmp_path):
        assert (tmp_path / ".lock").exists()


def test_a_workdir_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """A folder that cannot be made is told by name."""
    (tmp_path / "run").touch()
    with pytest.raises(WorkdirError, match="run: cannot be written: "), exclusive(tmp_path / "run"):
        pytest.fail("held a file")


# --- resume --------------------------------------------------------------------------------------------------------


def test_what_a_stage_wrote_down_to_go_on_from_stays_until_it_is_finished(tmp_path: Path) -> None:
    """It has a place of its own for each key, outlives failures and sweeps, and goes with success."""
    cache = StageCache(tmp_path)
    resume = cache.resume_folder("train", {"seed": 0})
    assert resume != cache.resume_folder("train", {"seed": 1})

    def fail(folder: Path) -> None:
        write_atomically(resume / "checkpoint", b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cache.build("train", {"seed": 0}, fail)
    sweep(tmp_path)
    assert (resume / "checkpoint").read_bytes() == b"half"
    cache.build("train", {"seed": 0}, lambda folder: None)
    assert not resume.exists()


def test_sweep_removes_what_nobody_has_gone_on_with_for_a_month(tmp_path: Path) -> None:
    """A recipe that was changed never comes back for it."""
    resume = StageCache(tmp_path).resume_folder("train", {})
    resume.mkdir()
    os.utime(resume, (0, 0))
    sweep(tmp_path)
    assert not resume.exists()
