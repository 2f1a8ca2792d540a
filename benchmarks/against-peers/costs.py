"""What a tool takes, seen from outside: everything that its process and all of their children needed."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

_LAUNCHER = Path(__file__).with_name("launch.py")


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
    report = log.with_name("cost.json")
    report.unlink(missing_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCHER), str(report), *command],
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        try:
            process.wait(limit_s)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise ToolError(f"stopped after {limit_s:.0f} s") from error
            raise
    if process.returncode:
        raise ToolError(_last_line(log) or f"exit code {process.returncode}")
    return msgspec.json.decode(report.read_bytes(), type=Cost)


def _last_line(log: Path) -> str:
    """What was said last, which of a traceback is the error."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line[:300] for line in reversed(lines) if line), "")
