"""Any number of models, in memory that does not grow with them: each result is put away as soon as it is there.

What is put away outlives the process, however it ends: the next one with the same settings on the same box goes on.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from mtl_edge.bench.contender import Contender
from mtl_edge.bench.describe import Described, describe, failure
from mtl_edge.bench.group import measure_group
from mtl_edge.bench.machine import Conditions, Machine
from mtl_edge.bench.monitor import Monitor
from mtl_edge.bench.results import Failure, Result
from mtl_edge.bench.settings import Settings
from mtl_edge.bench.suite import GROUP, steps
from mtl_edge.errors import BenchError
from mtl_edge.progress import Bar, progress_bar
from mtl_edge.storage import sha256_of, sha256_of_file, write_atomically

Found = Result | Failure
"""What becomes of a model."""


@dataclass(frozen=True)
class Shelf:
    """A folder with one file for each model that is done.

    Attributes:
        folder: where they are; it need not exist yet.
        key: tells apart what was measured otherwise: settings, box, base.
    """

    folder: Path
    key: str

    @classmethod
    def beside(cls, file: Path, settings: Settings, machine: Machine, base: Contender) -> "Shelf":
        """The shelf of what will become this file."""
        parts = repr(settings), repr(machine), *(_digest(path) for path in base.paths)
        return cls(file.with_name(f"{file.name}.partial"), sha256_of("\n".join(parts).encode()))

    def get(self, model: Contender) -> Found | None:
        """What was put away of a model whose files have not changed since."""
        for kind, path in self._places(model):
            with suppress(OSError, msgspec.DecodeError):
                return msgspec.json.decode(path.read_bytes(), type=kind)
        return None

    def put(self, model: Contender, found: Found) -> None:
        """Put away what became of a model."""
        places = dict(self._places(model))
        write_atomically(places[type(found)], msgspec.json.encode(found))

    def write(self, file: Path, models: Sequence[Contender], machine: Machine, conditions: Conditions) -> None:
        """Write all that is here of these models as the JSON of one benchmark, the base's first; then clear it away."""
        encode = msgspec.json.encode

        def pieces() -> Iterator[bytes]:
            yield b'{"machine":' + encode(machine) + b',"base":' + encode(models[0].name) + b',"results":'
            yield from self._array(models, Result)
            yield b',"failures":'
            yield from self._array(models, Failure)
            yield b',"conditions":' + encode(conditions) + b"}"

        write_atomically(file, pieces())
        shutil.rmtree(self.folder, ignore_errors=True)

    def _array(self, models: Sequence[Contender], wanted: type[Found]) -> Iterator[bytes]:
        opening = b"["
        for model in models:
            path = dict(self._places(model))[wanted]
            if path.exists():
                yield opening + path.read_bytes()
                opening = b","
        yield b"]" if opening == b"," else b"[]"

    def _places(self, model: Contender) -> tuple[tuple[type[Found], Path], ...]:
        digest = sha256_of("\n".join((self.key, model.name, *(_digest(path) for path in model.paths))).encode())[:24]
        return (Result, self.folder / f"{digest}.result.json"), (Failure, self.folder / f"{digest}.failure.json")


def measure_many(
    models: Sequence[Contender], *, base: Contender, settings: Settings, monitor: Monitor, shelf: Shelf | None
) -> Iterator[tuple[Contender, Found]]:
    """Measure models in turn with a base, some at a time, and give each as soon as it is done; the base's comes first.

    Args:
        models: what to measure.
        base: what they are compared to.
        settings: how to measure.
        monitor: watches the box.
        shelf: where results are put away, and found again.

    Raises:
        BenchError: the base cannot be measured.
    """
    others = [model for model in dict.fromkeys(models) if model != base]
    known: set[Contender] = set()
    for model in (base, *others):
        if shelf and (found := shelf.get(model)):
            known.add(model)
            yield model, found
    pending = [model for model in others if model not in known]
    if base in known and not pending:
        return
    with progress_bar("bench", total=steps(len(pending) + 1, settings)) as bar:
        root = describe(base, settings)
        bar.advance(f"{base.name}: tasks")
        base_is_known = base in known
        for start in range(0, max(len(pending), 1), GROUP):
            group = pending[start : start + GROUP]
            done = list(_one_group(root, group, settings, monitor, bar, base_is_known))
            base_is_known = True
            for model, found in done:
                if shelf:
                    shelf.put(model, found)
                yield model, found


def _one_group(
    base: Described,
    models: Sequence[Contender],
    settings: Settings,
    monitor: Monitor,
    bar: Bar,
    base_is_known: bool,
) -> Iterator[tuple[Contender, Found]]:
    described: list[Described] = []
    for model in models:
        try:
            described.append(describe(model, settings))
        except BenchError as error:
            yield model, failure(model, error)
        bar.advance(f"{model.name}: tasks")
    if not described and base_is_known:
        return
    results, failures = measure_group(
        base, described, settings=settings, monitor=monitor, bar=bar, base_is_known=base_is_known
    )
    by_name = {model.name: model for model in (base.model, *models)}
    done: list[Found] = [*results, *failures]
    yield from ((by_name[found.name], found) for found in done)


def models_in(folder: Path) -> list[Path]:
    """All ``.onnx`` files below a folder, by their names.

    Raises:
        BenchError: there are none.
    """
    found = sorted(path for path in folder.rglob("*.onnx") if path.is_file())
    if not found:
        raise BenchError(f"{folder}: must hold .onnx files, found none")
    return found


def first_that_loads(models: Sequence[Contender], settings: Settings) -> Contender:
    """The first model that can be loaded: what the others are compared to where nothing else is said.

    Raises:
        BenchError: none can.
    """
    reasons = []
    for model in models:
        try:
            describe(model, settings)
        except BenchError as error:
            reasons.append(str(error))
        else:
            return model
    raise BenchError(f"none of {len(models)} models can be measured; the first: {reasons[0]}")


def _digest(path: Path) -> str:
    try:
        state = path.stat()
        return _digest_of_state(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        return str(error)


@cache
def _digest_of_state(path: Path, size: int, changed_ns: int) -> str:
    """The content's, computed once for as long as the file is as it was."""
    return sha256_of_file(path)
