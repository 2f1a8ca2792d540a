"""Which boxes to measure on, as the user names them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mtl_edge.errors import BenchError

_SSH = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?:\[(?P<literal>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<host>[^@:\s\[\]]+))(?::(?P<port>\d{1,5}))?"
)
_ADB = re.compile(r"adb(?::(?P<serial>\S+))?")


@dataclass(frozen=True)
class SshBox:
    """A box that is reached over SSH; what is None is up to the user's SSH configuration."""

    name: str
    host: str
    user: str | None = None
    port: int | None = None


@dataclass(frozen=True)
class AndroidBox:
    """A device that ``adb`` knows; without a serial number, the only one."""

    name: str
    serial: str | None = None


Box = SshBox | AndroidBox


def parse_box(text: str) -> Box:
    """Read ``user@host:port``, ``host``, ``user@[::1]:22``, ``adb`` or ``adb:SERIAL``.

    Raises:
        BenchError: it is none of these.
    """
    if found := _ADB.fullmatch(text):
        return AndroidBox(text, found["serial"])
    found = _SSH.fullmatch(text)
    port = int(found["port"]) if found and found["port"] else None
    host = (found["literal"] or found["host"]) if found else ""
    user = found["user"] if found else None
    if found is None or host.startswith("-") or (user or "").startswith("-") or not 0 < (port or 22) < 2**16:
        raise BenchError(f"--on: must be user@host:port, adb or adb:SERIAL, found {text!r}")
    return SshBox(text, host, user, port)


def parse_boxes(names: Iterable[str], hosts: Path | None = None) -> tuple[Box, ...]:
    """Boxes named one by one, and those of a file: one a line; ``#`` begins a comment.

    Raises:
        BenchError: the file cannot be read, or a name is none.
    """
    texts = list(names)
    if hosts is not None:
        try:
            lines = hosts.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BenchError(f"--hosts {hosts}: cannot be read: {error}") from error
        texts += [text for line in lines if (text := line.partition("#")[0].strip())]
        if not texts:
            raise BenchError(f"--hosts {hosts}: must name a box, found none")
    return tuple(parse_box(text) for text in dict.fromkeys(texts))
