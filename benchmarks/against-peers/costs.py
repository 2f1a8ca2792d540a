"""What a tool takes, seen from outside: everything that its process and all of their children needed."""

import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Of a whole process, from its start to its end, imports included; its peak is that of its largest process."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


class ToolError(Exception):
    """A tool did not do what it should, in one line."""


def run(
    command: Sequence[str],
    *,
    log: Path,
    limit_s: float,
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Cost:
    """Run a command to its end, in a group of processes of its own.

    Args:
        command: the program and its arguments.
        log: the file for all that it prints.
        limit_s: after so many seconds it is stopped, with all that it has started.
        folder: where it works; some tools leave files there.
        env: variables beside those that are there.

    Raises:
        ToolError: it failed, and what it said last; or it was stopped.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        os.killpg(process.pid, signal.SIGKILL)

    with log.open("wb") as file:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        timer = threading.Timer(limit_s, stop)
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            stop()
            raise
        finally:
            timer.cancel()
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if stopped.is_set():
        raise ToolError(f"stopped after {limit_s:.0f} s")
    if process.returncode:
        raise ToolError(_last_line(log) or f"exit code {process.returncode}")
    return _cost(wall, usage)


def _cost(wall: float, usage: resource.struct_rusage) -> Cost:
    return Cost(
        wall_seconds=wall,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,  # KiB on Linux
    )


def _last_line(log: Path) -> str:
    """What was said last, which of a traceback is the error."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line[:300] for line in reversed(lines) if line), "")
