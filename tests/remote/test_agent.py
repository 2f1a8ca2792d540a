"""The agent keeps to its folder, checks what it gets, and leaves nothing when its input ends."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mtl_edge.remote import agent


class _Talk:
    """The agent as a process, as a connection would have it."""

    def __init__(self, folder: Path) -> None:
        self.temporary, self.cache = folder / "tmp", folder / "cache"
        self.temporary.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-u", str(agent.__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(self.temporary), "MTL_EDGE_CACHE": str(self.cache)},
        )
        assert self._line() == b"mtl-edge agent\n"

    def send(self, content: bytes = b"", **request: object) -> None:
        """Send a request, and a file's bytes."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n" + content)
        self.process.stdin.flush()

    def ask(self, content: bytes = b"", **request: object) -> Any:
        """The answer to it: a value, bytes, or an error as it is written."""
        self.send(content, **request)
        answer = json.loads(self._line())
        if "size" in answer:
            assert self.process.stdout is not None
            return self.process.stdout.read(answer["size"])
        return answer

    def put(self, path: str, content: bytes, **wrong: object) -> Any:
        """Send a file."""
        request = {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), **wrong}
        return self.ask(content, do="put", **request)

    @property
    def folder(self) -> Path:
        """Its temporary folder."""
        (folder,) = self.temporary.iterdir()
        return folder

    def end(self) -> None:
        """Close its input, and wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[_Talk]:
    """An agent that listens."""
    found = _Talk(tmp_path)
    yield found
    found.end()
    assert found.process.stdout is not None
    found.process.stdout.close()


def _make(talk: _Talk, *, keep: bool, pip: list[str]) -> Any:
    """An environment, with a pip that writes its arguments into a file of the environment."""
    program = "import sys, pathlib; pathlib.Path(sys.prefix, 'arguments').write_text(' '.join(sys.argv[1:]))"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("pip/__main__.py", program)
    talk.put("pip.zip", content.getvalue())
    talk.ask(do="unpack", path="pip.zip", into="pip")
    return talk.ask(do="make-environment", key="key", keep=keep, pip=pip)


def test_files_arrive_as_they_were_under_any_name(talk: _Talk) -> None:
    """Nothing but bytes: no shell reads a name."""
    name = "models/a b'\"$(touch pwned)`touch pwned`;é\n/model.onnx"
    assert talk.put(name, b"content") == {"value": None}
    assert (talk.folder / name).read_bytes() == b"content"
    assert not list(talk.temporary.rglob("pwned"))


def test_a_file_that_did_not_arrive_as_it_was_is_refused(talk: _Talk) -> None:
    """And what follows it is still understood."""
    answer = talk.put("model.onnx", b"content", sha256="0" * 64)
    assert answer["error"].startswith("model.onnx must have the SHA-256 000")
    assert talk.put("other", b"fine") == {"value": None}


def test_a_file_that_cannot_be_written_is_an_error_and_what_follows_is_understood(talk: _Talk) -> None:
    """Its bytes are read to the end."""
    talk.put("place", b"a file, not a folder")
    assert "place/model.onnx cannot be written there" in talk.put("place/model.onnx", b"x" * 3_000_000)["error"]
    assert talk.ask(do="hello", seconds=60)["value"]["folder"] == str(talk.folder)


def test_an_environment_is_kept_for_the_next_time(talk: _Talk) -> None:
    """As a whole, under the hash of what is in it; pip is given its arguments."""
    assert talk.ask(do="has-environment", key="key") == {"value": False}
    assert _make(talk, keep=True, pip=["install", "numpy==1"]) == {"value": None}
    assert talk.ask(do="has-environment", key="key") == {"value": True}
    assert [path.name for path in (talk.cache / "environments").iterdir()] == ["key"]
    assert (talk.cache / "environments" / "key" / "arguments").read_text() == "install numpy==1"


def test_an_environment_that_is_not_to_be_kept_goes_with_the_folder(talk: _Talk) -> None:
    """Nothing is in the cache."""
    assert _make(talk, keep=False, pip=[]) == {"value": None}
    assert (talk.folder / "environment" / "bin" / "python").exists()
    assert not talk.cache.exists()


def test_an_environment_that_fails_leaves_nothing(talk: _Talk) -> None:
    """The error is what the program said last."""
    answer = talk.ask(do="make-environment", key="key", keep=True, pip=["install"])
    assert "can't find '__main__' module" in answer["error"] or "can't open file" in answer["error"]
    assert list((talk.cache / "environments").iterdir()) == []


def test_a_program_gets_its_input_and_its_output_is_the_answer(talk: _Talk) -> None:
    """With the code that was sent on its path."""
    _make(talk, keep=False, pip=[])
    talk.put("code/sent.py", b"import sys\nsys.stdout.write(sys.stdin.read() * 2)")
    arguments = ["-c", "import sent"]
    assert talk.ask(do="run", key="key", keep=False, arguments=arguments, input="é") == "éé".encode()


def test_a_program_that_fails_is_an_error_with_its_last_words(talk: _Talk) -> None:
    """What it says for users comes before a traceback's end."""
    _make(talk, keep=False, pip=[])
    failing = "import sys\nprint('mtl-edge: error: so', file=sys.stderr)\nprint('and so', file=sys.stderr)\nsys.exit(3)"
    answer = talk.ask(do="run", key="key", keep=False, arguments=["-c", failing], input="")
    assert answer == {"error": "mtl-edge: error: so"}


@pytest.mark.parametrize("how", ["the input ends", "SIGTERM", "SIGHUP"])
def test_what_runs_is_killed_and_the_folder_removed(
    talk: _Talk, how: str, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    """With all that the program itself has started."""
    _make(talk, keep=False, pip=[])
    program = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    talk.send(do="run", key="key", keep=False, arguments=["-c", program], input="")
    agent_process = psutil.Process(talk.process.pid)
    wait_until(lambda: len(agent_process.children(recursive=True)) == 2)
    started = agent_process.children(recursive=True)
    if how == "the input ends":
        talk.end()
    else:
        talk.process.send_signal(getattr(signal, how))
        talk.process.wait(30)
    wait_until(lambda: not any(child.is_running() and child.status() != "zombie" for child in started))
    assert list(talk.temporary.iterdir()) == []
