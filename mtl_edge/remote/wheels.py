"""What a box needs to measure: this very code, the base install in the versions of this one, and pip."""

import importlib.metadata
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import mtl_edge
from mtl_edge.errors import BenchError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The same content always makes the same archive."""


def normalized(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def base_pins() -> dict[str, str]:
    """Every distribution of the base install, but mtl-edge itself -> the version that is installed here.

    Raises:
        BenchError: mtl-edge is not installed.
    """
    pins: dict[str, str] = {}
    waiting = ["mtl-edge"]
    while waiting:
        name = normalized(waiting.pop())
        if name in pins:
            continue
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # needed on other platforms only
            continue
        pins[name] = found.version
        wanted = [line for line in found.requires or [] if "extra ==" not in line]
        waiting += [match.group() for line in wanted if (match := _NAME.match(line))]
    if pins.pop("mtl-edge", None) is None:
        raise BenchError("--on: mtl-edge must be installed with pip here, so that it is known what a box needs")
    return dict(sorted(pins.items()))


def own_code() -> bytes:
    """An archive of this package's modules, as they are here."""
    root = Path(mtl_edge.__file__).parent
    return _archive({f"mtl_edge/{path.relative_to(root).as_posix()}": path for path in root.rglob("*.py")})


def pip_code() -> bytes:
    """An archive from which Python can run the pip that is installed here: a box need not have one.

    Raises:
        BenchError: there is none.
    """
    try:
        files = importlib.metadata.distribution("pip").files or ()
    except importlib.metadata.PackageNotFoundError:
        files = ()
    inside = {
        file.as_posix(): Path(str(file.locate()))
        for file in files
        if file.parts[0] not in ("..", "/") and "__pycache__" not in file.parts
    }
    if "pip/__main__.py" not in inside:
        raise BenchError("--on: pip must be installed here, because boxes are sent it; found none")
    return _archive(inside)


def find_wheels(wheelhouse: Path, pins: Mapping[str, str]) -> tuple[Path, ...]:
    """The wheels of a folder that have a pinned version; several of one, if they are for several platforms.

    Raises:
        BenchError: one is missing; the error has the command that gets them all.
    """
    found: dict[str, list[Path]] = {name: [] for name in pins}
    for path in sorted(wheelhouse.glob("*.whl")):
        name, _, rest = path.name.partition("-")
        if pins.get(normalized(name)) == rest.partition("-")[0]:
            found[normalized(name)].append(path)
    if missing := [f"{name}=={pins[name]}" for name, paths in found.items() if not paths]:
        wanted = " ".join(f"{name}=={version}" for name, version in pins.items())
        raise BenchError(
            f"--wheelhouse {wheelhouse}: must hold wheels of {', '.join(missing)}; "
            f"pip download --only-binary :all: --dest {wheelhouse} {wanted}"
        )
    return tuple(path for paths in found.values() for path in paths)


def _archive(files: Mapping[str, Path]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return content.getvalue()
