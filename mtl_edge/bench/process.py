"""The parent's end of a measuring process: start it, ask it, and say how it died."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from mtl_edge.bench.contender import Contender
from mtl_edge.bench.standby import WORKER, Waiting, take
from mtl_edge.errors import BenchError

Child = subprocess.Popen[str] | Waiting


class Process:
    """A measuring process with a model loaded; what stops it in any way is a :class:`BenchError`."""

    def __init__(self, model: Contender, *, timeout_s: float, **load: object) -> None:
        self._model = model
        self._timeout_s = timeout_s
        self._load = {"paths": list(map(str, model.paths)), **load}
        self._child: Child | None = None
        self._ahead: dict[str, Any] = {}
        self._failure: BenchError | None = None
        self.started: dict[str, float] = {}
        """How long the process and its imports took, in ms; empty where it did not start alone."""

    def has(self, model: Contender, load: Mapping[str, object]) -> bool:
        """Whether it was to load these files in this way."""
        paths = list(map(str, model.paths))
        return self._load.items() >= {"paths": paths, **load}.items()

    @property
    def pid(self) -> int:
        """The child's number."""
        assert self._child is not None
        return self._child.pid

    def __enter__(self) -> "Process":
        if self._failure is not None:
            raise self._failure
        if self._child is not None:
            return self
        self._oom_kills = _oom_kills()
        spawned = time.perf_counter()  # of one clock for all processes of a box
        waited = take()
        self._child = waited or _spawn()
        try:
            started = self._exchange({**self._load, "spawned": spawned}, self._timeout_s)
            self.started = {} if waited else started
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, if it was started."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def ask_ahead(self, what: str) -> None:
        """Start and ask now; who enters and asks later gets the same answer, or the error."""
        try:
            self._ahead[what] = self.__enter__().ask(what)
        except BenchError as error:
            self._failure = error

    def ask(self, what: str, *, patient: bool = False, **details: object) -> Any:
        """Send a request and wait for its answer, where ``patient`` however long that takes.

        Raises:
            BenchError: the process says what is wrong, died, or did not answer in time.
        """
        if what in self._ahead:
            return self._ahead.pop(what)
        return self._exchange({"do": what, **details}, None if patient else self._timeout_s)

    def _exchange(self, request: Mapping[str, object], timeout_s: float | None) -> Any:
        child = self._child
        assert child is not None
        stdin, stdout = child.stdin, child.stdout
        assert stdin is not None
        assert stdout is not None
        too_late = threading.Event()

        def stop() -> None:
            too_late.set()
            child.kill()

        timer = threading.Timer(timeout_s or 0, stop)
        if timeout_s is not None:
            timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                stdin.write(json.dumps(request) + "\n")
                stdin.flush()
            line = stdout.readline()
        finally:
            timer.cancel()
        if too_late.is_set():
            raise BenchError(f"{self._model.place}: no answer within {timeout_s:g} s; the process was stopped")
        if not line.endswith("\n"):
            raise BenchError(f"{self._model.place}: {self._how_it_died(child)}")
        reply = json.loads(line)
        if "error" in reply:
            raise BenchError(reply["error"])
        return reply["value"]

    def _how_it_died(self, child: Child) -> str:
        code = child.wait()
        stderr = child.stderr
        assert stderr is not None
        last = (stderr.read().strip().splitlines() or [""])[-1]
        return f"the measuring process {_ending(code, _oom_kills() > self._oom_kills)}{': ' * bool(last)}{last}"


def _spawn() -> Child:
    """A process that serves requests line by line."""
    piped = subprocess.PIPE
    return subprocess.Popen([sys.executable, *WORKER], stdin=piped, stdout=piped, stderr=piped, text=True)


def _ending(code: int, out_of_memory: bool) -> str:
    """How a process ended, from its exit status."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    match name:
        case "SIGKILL" if out_of_memory:
            return "was killed by the system, which ran out of memory"
        case "SIGKILL":
            return "was killed (SIGKILL)"
        case _:
            return f"crashed ({name})"


def _oom_kills() -> int:
    """How many processes Linux has killed for want of memory since it was started."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
