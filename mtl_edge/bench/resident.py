"""What is resident in memory, read from Linux's ``/proc``.

Not ``ru_maxrss``, which starts at the peak of the parent.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc/self")


@dataclass(frozen=True)
class Resident:
    """Bytes of anonymous memory, of pages of the model's own files, and of pages of all other files."""

    anonymous: int
    model: int
    files: int

    @property
    def own(self) -> int:
        """What is there for the model: weights may be mapped from files beside it."""
        return self.anonymous + self.model


def resident(folders: Sequence[Path] = ()) -> Resident:
    """What is resident now; files in these folders belong to the model.

    Raises:
        OSError: the system has no such list.
    """
    prefixes = tuple(f"{folder.resolve()}/" for folder in folders)
    path, present, anonymous = "", 0, 0
    files = {True: 0, False: 0}
    for line in (_PROC / "smaps").read_text().splitlines():
        key, _, value = line.partition(":")
        match key:
            case "Rss":
                present = int(value.split()[0]) * 1024
            case "Anonymous":
                size = int(value.split()[0]) * 1024
                anonymous += size
                files[path.startswith(prefixes)] += present - size
            case _ if "-" in key.split(" ", 1)[0]:
                path = next(iter(line.split(maxsplit=5)[5:]), "")
    return Resident(anonymous, files[True], files[False])


def peak_bytes() -> int:
    """The most that was ever resident, or since :func:`forget_peak`.

    Windows has a counter of its own; elsewhere the present size has to do.
    """
    try:
        return _status("VmHWM")
    except OSError:
        import psutil

        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))


def resident_bytes() -> int:
    """What is resident now."""
    try:
        return _status("VmRSS")
    except OSError:
        import psutil

        return int(psutil.Process().memory_info().rss)


def proportional_bytes() -> int | None:
    """What is resident now, shared pages divided among those who share them; None where that is not told."""
    try:
        lines = (_PROC / "smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return None


def forget_peak() -> None:
    """Let the peak begin anew.

    Raises:
        OSError: the system does not allow it.
    """
    (_PROC / "clear_refs").write_text("5")


def trim() -> None:
    """Give back what the C library holds free, where it is glibc."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, TypeError):  # another C library; Windows has no None
        return


def _status(key: str) -> int:
    lines = (_PROC / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1]) * 1024
