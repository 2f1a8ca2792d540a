"""What takes part in a benchmark."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Contender:
    """What is measured as one: a model, or several that are run one after the other in one process."""

    name: str
    paths: tuple[Path, ...]

    @property
    def place(self) -> str:
        """What errors call it."""
        return ", ".join(map(str, self.paths))


def contenders(paths: Sequence[Path]) -> tuple[Contender, ...]:
    """Models that each run alone, under the shortest names that tell them apart."""
    unique = list(dict.fromkeys(paths))
    return tuple(Contender(name, (path,)) for path, name in zip(unique, _names(unique), strict=True))


def _names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart: ``dense`` for ``artifacts/dense/model.onnx``."""
    names: list[str] = []
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join((*path.parts[-depth:-1], path.stem)) for path in paths]
        if len(set(names)) == len(paths):
            break
    return [name.removesuffix("/model") for name in names]
