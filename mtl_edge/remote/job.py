"""What is measured on every box, and what is carried there for it."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mtl_edge.bench.settings import DEFAULTS, Settings
from mtl_edge.errors import BenchError
from mtl_edge.remote.wheels import base_pins, find_wheels, own_code, pip_code
from mtl_edge.storage import sha256_of_file

_LOCATION = re.compile(rb"\x0a\x08location\x12")
"""How the name of a file with weights begins in an ``.onnx``: key, and the field of the value."""


@dataclass(frozen=True)
class Job:
    """One benchmark, for any number of boxes.

    Attributes:
        models: what to measure.
        against: what the others are compared to; None leaves that to the benchmark.
        settings: how to measure.
        wheelhouse: a folder of wheels for boxes without network; None lets them ask their package index.
        keep_environment: leave the virtual environment on the box for the next time.
        client: the native client's benchmark program, for Android devices.
        timeout_s: after this long a box has failed.
    """

    models: tuple[Path, ...]
    against: Path | None = None
    settings: Settings = DEFAULTS
    wheelhouse: Path | None = None
    keep_environment: bool = True
    client: Path | None = None
    timeout_s: float = 3600.0

    @property
    def files(self) -> Mapping[Path, str]:
        """All that is copied, weights beside the models included -> where it is put."""
        beside = {
            path.parent / name: str(PurePosixPath(place).parent / name)
            for path, place in self.places.items()
            for name in weight_files(path)
        }
        return {**self.places, **beside}

    @property
    def places(self) -> Mapping[Path, str]:
        """Model -> where it is put, below the box's temporary folder; what it is compared to comes first.

        As much of the path is kept as tells the models apart, because they get their names from it.
        """
        models = list(dict.fromkeys([*([self.against] if self.against else []), *self.models]))
        absolute = [Path(os.path.abspath(path)) for path in models]  # noqa: PTH100 - a link keeps its own name
        common = Path(os.path.commonpath([path.parent for path in absolute]))
        return {
            model: str(PurePosixPath("models", path.relative_to(common).as_posix()))
            for model, path in zip(models, absolute, strict=True)
        }


def weight_files(model: Path) -> Iterator[str]:
    """Names of the files beside a model that hold weights of it; found without the package onnx.

    Raises:
        BenchError: the model cannot be read.
    """
    try:
        content = model.read_bytes()
    except OSError as error:
        raise BenchError(f"{model}: cannot be read: {error.strerror}") from error
    names: dict[str, None] = {}
    for found in _LOCATION.finditer(content):
        size, start = content[found.end()], found.end() + 1
        if size < 128:  # names are shorter; else this is no name, but weights that look like one
            names[content[start : start + size].decode(errors="replace")] = None
    for name in names:
        path = PurePosixPath(name)
        if not path.is_absolute() and ".." not in path.parts and (model.parent / name).is_file():
            yield name


@dataclass(frozen=True)
class Parcel:
    """What every box with Python gets: archives of this code and of pip, pinned versions, and their wheels."""

    code: bytes
    pip: bytes
    pins: Mapping[str, str]
    wheels: Mapping[Path, str]

    @property
    def pip_arguments(self) -> list[str]:
        """How pip is to fill the environment."""
        offline = ["--no-index", "--find-links", "wheels"] if self.wheels else []
        quiet = ["--quiet", "--no-input", "--no-cache-dir", "--no-compile", "--disable-pip-version-check"]
        pinned = [f"{name}=={version}" for name, version in self.pins.items()]
        return ["install", *quiet, "--only-binary", ":all:", *offline, *pinned]


def pack(job: Job) -> Parcel:
    """Make the parcel, and look at the wheelhouse before any box is asked.

    Raises:
        BenchError: a wheel is missing, or this install does not know its own versions.
    """
    if job.settings.data is not None:
        raise BenchError("--data: metrics cannot be measured on other boxes, which have no scikit-learn; leave it out")
    pins = base_pins()
    wheels = find_wheels(job.wheelhouse, pins) if job.wheelhouse is not None else ()
    return Parcel(own_code(), pip_code(), pins, {path: sha256_of_file(path) for path in wheels})
