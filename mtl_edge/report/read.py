"""Results from files: what ``mtl-edge run`` leaves in its folder, and what ``mtl-edge bench --json`` writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mtl_edge.bench.results import Benchmark
from mtl_edge.errors import ReportError
from mtl_edge.profile.results import Profile
from mtl_edge.remote.results import Boxes

REPORT_FILE = "report.json"
_Read = TypeVar("_Read")


class _Inspected(msgspec.Struct, frozen=True):
    profile: Profile | None


@dataclass(frozen=True)
class Results:
    """A benchmark under a name.

    ``run`` is the JSON of the whole run that it is of, or None. ``boxes`` are all boxes where it was made on several;
    ``benchmark`` is then that of the first one that could measure.
    """

    name: str
    path: Path
    benchmark: Benchmark
    run: bytes | None = None
    boxes: Boxes | None = None


def read_results(path: Path) -> Results:
    """Read a run's folder, its ``report.json``, or a benchmark's JSON.

    Raises:
        ReportError: it is none of them.
    """
    file = path / REPORT_FILE if path.is_dir() else path
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ReportError(f"{file}: cannot be read: {error.strerror}") from error
    fields = decode(file, text, dict[str, msgspec.Raw])
    if "benchmark" in fields and "name" in fields:
        name, benchmark = decode(file, fields["name"], str), decode(file, fields["benchmark"], Benchmark)
        return Results(name, file, _checked(file, benchmark), text)
    if "results" in fields and "base" in fields:
        return Results(file.stem, file, _checked(file, decode(file, text, Benchmark)))
    if "boxes" in fields:
        boxes = decode(file, text, Boxes)
        measured = [box.benchmark for box in boxes.boxes if box.benchmark is not None]
        if not measured:
            raise ReportError(f"{file}: a box must have measured something, found {len(boxes.boxes)} that failed")
        return Results(file.stem, file, _checked(file, measured[0]), boxes=boxes)
    raise ReportError(f"{file}: must be a run's {REPORT_FILE} or what bench --json writes, found {_keys(fields)}")


def read_side(path: Path, box: str | None) -> Benchmark:
    """The benchmark to compare: of results of several boxes, that of the box which is named.

    Raises:
        ReportError: as for :func:`read_results`; or the box has to be named, is not there, or has no figures.
    """
    found = read_results(path)
    if found.boxes is None:
        return found.benchmark
    names = ", ".join(each.name for each in found.boxes.boxes)
    chosen = next((each for each in found.boxes.boxes if each.name == box), None)
    if chosen is None:
        raise ReportError(f"{found.path}: --box must name one of {names}, found {box or 'none'}")
    if chosen.benchmark is None:
        raise ReportError(f"{found.path}: box {chosen.name} has no figures: {chosen.failure}")
    return chosen.benchmark


def read_profile(path: Path) -> Profile:
    """Read what ``mtl-edge inspect --profile --json`` writes.

    Raises:
        ReportError: it is something else, or the model was not run.
    """
    found = decode(path, path.read_bytes(), _Inspected).profile
    if found is None:
        raise ReportError(f"{path}: must have a profile, found none: inspect the model with --profile")
    return found


def decode(path: Path, text: "bytes | msgspec.Raw", kind: type[_Read]) -> _Read:
    """JSON as a type.

    Raises:
        ReportError: it is not JSON, or lacks what the type has.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReportError(f"{path}: is not what mtl-edge {_version()} writes: {error}") from error


def _checked(path: Path, benchmark: Benchmark) -> Benchmark:
    if benchmark.result(benchmark.base) is None:
        found = ", ".join(result.name for result in benchmark.results) or "none"
        raise ReportError(f"{path}: the base {benchmark.base!r} must be among the results, found {found}")
    return benchmark


def _keys(fields: dict[str, Any]) -> str:
    return f"the keys {', '.join(list(fields)[:5])}" if fields else "an empty object"


def _version() -> str:
    from mtl_edge import __version__

    return __version__
