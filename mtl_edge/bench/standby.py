"""A measuring process that is started before it is known what it will measure, and waits.

Its imports take as long as those of the command that will need it, so both are done at the same time. Nothing is
measured meanwhile; that the process was not alone while it started is known to who takes it.

Whatever is imported here delays it, so it is not started through :mod:`subprocess`, which takes as long to import as a
tenth of the runtime does.
"""

import os
import sys

WORKER = ("-m", "mtl_edge.bench.worker")


class Waiting:
    """The process, with the part of :class:`subprocess.Popen` that its users need."""

    def __init__(self) -> None:
        (its_input, our_end), *outputs = os.pipe(), os.pipe(), os.pipe()
        theirs = [its_input, *(write for _, write in outputs)]
        as_standard = [(os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate(theirs)]
        self.pid = os.posix_spawn(sys.executable, [sys.executable, *WORKER], os.environ, file_actions=as_standard)
        for end in theirs:
            os.close(end)
        self.stdin = os.fdopen(our_end, "w", encoding="utf-8")
        self.stdout, self.stderr = (os.fdopen(read, encoding="utf-8") for read, _ in outputs)
        self._code: int | None = None

    def kill(self) -> None:
        """End it at once."""
        if self._code is None:
            os.kill(self.pid, 9)  # by number: the names would have to be imported

    def wait(self) -> int:
        """Its exit status, negative for a signal, once it has ended."""
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code

    def communicate(self) -> None:
        """See it to its end and close what connects us."""
        try:  # noqa: SIM105 - contextlib would have to be imported first
            self.stdin.close()
        except BrokenPipeError:  # a request that it did not live to read
            pass
        for output in (self.stdout, self.stderr):
            output.read()
            output.close()
        self.wait()


_waiting: list[Waiting] = []


def prepare() -> None:
    """Start one that waits, where processes can be started in this way."""
    if hasattr(os, "posix_spawn"):
        _waiting.append(Waiting())


def take() -> Waiting | None:
    """The one that waits, if there is one; it is the caller's from here on."""
    return _waiting.pop() if _waiting else None


def dismiss() -> None:
    """End what nobody took."""
    while child := take():
        child.kill()
        child.communicate()
