"""The first look at the first model, taken before the command imports what it needs for all that follows."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mtl_edge.bench.contender import Contender
from mtl_edge.bench.process import Process
from mtl_edge.errors import ModelError
from mtl_edge.intake.structure import read_structure

_looked: list[Process] = []


@contextmanager
def first_look(path: Path, *, timeout_s: float, **load: object) -> Iterator[None]:
    """Load a model and run it now; :func:`looked_at` gives the process to who asks within the ``with`` block.

    What is wrong with the model is said there, too.
    """
    try:
        if path.suffix != ".ort":
            read_structure(path)
    except ModelError:  # whoever describes the model will find the same
        yield
        return
    process = Process(Contender(path.stem, (path,)), timeout_s=timeout_s, **load)
    try:
        process.ask_ahead("cold-start")
        _looked.append(process)
        yield
    finally:
        _looked.clear()
        process.close()


def looked_at(model: Contender, load: Mapping[str, object]) -> Process | None:
    """The process that has this model loaded in this way already, once."""
    for process in _looked:
        if process.has(model, load):
            _looked.remove(process)
            return process
    return None
