"""A measuring process that is started before it is known what it will measure, and waits.

Its imports take as long as those of the command that will need it, so both are done at the same time. Nothing is
measured meanwhile; that the process was not alone while it started is known to who takes it.
"""

import subprocess
import sys
from collections.abc import Sequence

WORKER = ("-m", "mtl_edge.bench.worker")

_waiting: list[subprocess.Popen[str]] = []


def spawn(worker: Sequence[str] = WORKER) -> "subprocess.Popen[str]":
    """A process that serves requests line by line."""
    return subprocess.Popen(
        [sys.executable, *worker],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def prepare() -> None:
    """Start one that waits."""
    _waiting.append(spawn())


def take() -> "subprocess.Popen[str] | None":
    """The one that waits, if there is one; it is the caller's from here on."""
    return _waiting.pop() if _waiting else None


def dismiss() -> None:
    """End what nobody took."""
    while child := take():
        child.kill()
        child.communicate()
