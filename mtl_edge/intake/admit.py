"""The one gate for models from outside: what a command is given goes through here before anything opens it."""

from pathlib import Path

from mtl_edge.intake.probe import probe
from mtl_edge.intake.structure import Structure, read_structure


def admit(path: Path) -> Structure:
    """Check what a model's file says, then let a process of its own load and run it.

    Raises:
        ModelError: it cannot be read, says what cannot be, or ONNX Runtime cannot load it or does not survive it.
    """
    structure = read_structure(path)
    probe(path, sum(file.stat().st_size for file in (path, *(path.parent / name for name in structure.external))))
    return structure
