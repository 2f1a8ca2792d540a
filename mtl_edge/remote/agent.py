"""What runs on the box: it holds a temporary folder, and removes it when the other side is gone, whatever happened.

Its source is sent over the connection, so it needs Python 3.11 and nothing else. Each line of standard input is a JSON
request, followed by a file's bytes where it names a size; each line of standard output its answer, likewise. When the
input ends, be it by Ctrl-C, a failure, or a connection that dropped, what is running is killed and the folder removed.
"""

import contextlib
import hashlib
import json
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

_PIECE = 1 << 20
_POLL_S = 0.1
_DAY_S = 86_400
_UNFINISHED = ".unfinished-"
_NOWHERE = Path(os.devnull)
_ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


class RefusedError(Exception):
    """A request that could not be done; the message is for the user."""


class Agent:
    """Does what it is asked within its folder, and nowhere else but in the folder of finished environments."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._input, self._output = sys.stdin.buffer, sys.stdout.buffer

    def serve(self) -> None:
        """Answer until the input ends, after a line that tells the answers from what shells say of themselves."""
        self._output.write(b"mtl-edge agent\n")
        self._output.flush()
        for line in iter(self._input.readline, b""):
            request = json.loads(line)
            content = b""
            try:
                answer = self._do(request)
                if isinstance(answer, Path):
                    content = answer.read_bytes()
                answer = {"size": len(content)} if content else {"value": answer}
            except RefusedError as error:
                answer = {"error": str(error)}
            except OSError as error:
                answer = {"error": f"{error.strerror}: {error.filename or self._folder}"}
            self._output.write(json.dumps(answer).encode() + b"\n" + content)
            self._output.flush()

    def _do(self, request: dict[str, Any]) -> Any:
        match request["do"]:
            case "hello":
                signal.alarm(request["seconds"])  # a connection that went silent must not leave this here for ever
                return {"python": platform.python_version(), "machine": platform.machine(), "folder": str(self._folder)}
            case "put":
                return self._put(request["path"], request["size"], request["sha256"])
            case "unpack":
                with zipfile.ZipFile(self._folder / request["path"]) as archive:
                    return archive.extractall(self._folder / request["into"])
            case "has-environment":
                return _python(_kept(request["key"])).exists()
            case "make-environment":
                return self._make_environment(request["key"], request["keep"], request["pip"])
            case "run":
                return self._run(request["key"], request["keep"], request["arguments"], request["input"])
            case unknown:
                raise RefusedError(f"no such request {unknown!r}")

    def _put(self, name: str, size: int, sha256: str) -> None:
        """Write a file; its bytes are read to the end in any case, because the next request follows them."""
        path, digest, failure = self._folder / name, hashlib.sha256(), None
        target: BinaryIO | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            target = path.open("wb")
        except OSError as error:
            failure = error
        while size:
            piece = self._input.read(min(size, _PIECE))
            if not piece:
                raise SystemExit(1)
            size -= len(piece)
            digest.update(piece)
            try:
                if target is not None and failure is None:
                    target.write(piece)
            except OSError as error:
                failure = error
        try:
            if target is not None:
                target.close()
        except OSError as error:
            failure = failure or error
        if failure is not None:
            raise RefusedError(f"{name} cannot be written there: {failure.strerror}")
        if digest.hexdigest() != sha256:
            raise RefusedError(f"{name} must have the SHA-256 {sha256} there, found {digest.hexdigest()}")

    def _environment(self, key: str, keep: bool) -> Path:
        return _kept(key) if keep else self._folder / "environment"

    def _make_environment(self, key: str, keep: bool, pip: Sequence[str]) -> None:
        """A virtual environment that is there as a whole or not at all; pip itself is not in it."""
        final = self._environment(key, keep)
        final.parent.mkdir(parents=True, exist_ok=True)
        for old in final.parent.glob(f"{_UNFINISHED}*"):  # of an agent that could not clear up: the power was cut
            if time.time() - old.stat().st_mtime > _DAY_S:
                shutil.rmtree(old, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=final.parent))
        try:
            self._call([sys.executable, "-m", "venv", "--without-pip", str(unfinished)])
            command = [str(_python(unfinished)), str(self._folder / "pip" / "pip"), *pip]
            self._call(command)
            if not _python(final).exists():
                shutil.rmtree(final, ignore_errors=True)  # its Python is gone
            with contextlib.suppress(OSError):  # another run has made the same meanwhile
                unfinished.rename(final)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _run(self, key: str, keep: bool, arguments: Sequence[str], text: str) -> Path:
        """Run Python in the environment with this package's code; gives the file of what it wrote."""
        answer = self._folder / "answer"
        (self._folder / "request").write_text(text, encoding="utf-8")
        python = str(_python(self._environment(key, keep)))
        self._call([python, *arguments], stdin=self._folder / "request", stdout=answer)
        return answer

    def _call(self, command: Sequence[str], *, stdin: Path | None = None, stdout: Path | None = None) -> None:
        """Run a program to its end, or kill it with all that it started when the other side is gone."""
        own = {"PYTHONPATH": str(self._folder / "code"), "PYTHONNOUSERSITE": "1", "TMPDIR": str(self._folder)}
        with (
            (stdin or _NOWHERE).open("rb") as source,
            (stdout or _NOWHERE).open("wb") as target,
            (self._folder / "errors").open("w+b") as errors,
        ):
            child = subprocess.Popen(
                command,
                stdin=source,
                stdout=target,
                stderr=errors,
                cwd=self._folder,
                env={**os.environ, **own},
                start_new_session=True,
            )
            try:
                while child.poll() is None:
                    if select.select([self._input], [], [], _POLL_S)[0]:  # nothing is sent meanwhile: this is the end
                        raise SystemExit(1)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            if child.returncode:
                errors.seek(0)
                raise RefusedError(
                    _last_line(errors.read()) or f"{Path(command[0]).name} ended with {child.returncode}"
                )


def _python(environment: Path) -> Path:
    return environment / "bin" / "python"


def _kept(key: str) -> Path:
    """Where a finished environment is, outside of the temporary folder: runs have it in common."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mtl-edge"
    return Path(os.environ.get("MTL_EDGE_CACHE") or home) / "environments" / key


def _last_line(errors: bytes) -> str:
    """Of what a program complained; pip and Python say the cause last, or after ``ERROR:``."""
    lines = [line.strip() for line in errors.decode(errors="replace").splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(("ERROR: ", "mtl-edge: error: "))]
    return (marked or lines or [""])[-1]


def main() -> None:
    """Serve from a folder of its own."""

    def end(*_: object) -> None:
        raise SystemExit(1)

    for number in _ENDS:
        signal.signal(number, end)
    folder = Path(tempfile.mkdtemp(prefix="mtl-edge-"))
    try:
        Agent(folder).serve()
    finally:
        for number in _ENDS:
            signal.signal(number, signal.SIG_IGN)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
