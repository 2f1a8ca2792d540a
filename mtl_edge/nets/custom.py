"""Networks that a recipe brings along: ``python:pkg.mod:factory`` names a function that makes one."""

import ast
import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from mtl_edge.errors import RecipeError
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.nets.trunks.base import Trunk
from mtl_edge.recipe import CustomNetSpec, CustomTrunkSpec, NetSpec
from mtl_edge.storage import sha256_of
from mtl_edge.tasks import TargetStatistics, Task

Factory = Callable[[tuple[int, ...]], object]


def find_factory(key: str, name: str, folder: Path) -> Factory:
    """Import a function; the folder of the recipe is looked through first.

    Args:
        key: the recipe's key, for messages.
        name: ``pkg.mod:factory``.
        folder: the recipe's.

    Raises:
        RecipeError: no such module or function, or the module cannot be imported.
    """
    place = f"{key}: 'python:{name}'"
    module_name, _, attribute = name.partition(":")
    try:
        module = _import(module_name, folder)
    except ModuleNotFoundError as error:
        raise RecipeError(f"{place}: no module {error.name!r} in {folder}, nor installed") from error
    except Exception as error:
        raise RecipeError(f"{place}: {module_name} cannot be imported: {_told(error)}") from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        found = "none" if factory is None else type(factory).__name__
        raise RecipeError(f"{place}: must name a function of {module_name}, found {found}")
    return factory  # type: ignore[no-any-return]


def code_sha256(spec: NetSpec, folder: Path) -> str | None:
    """What tells whether the code of a custom network has changed, or None for other nets; imports nothing of it.

    It is the hash of the factory's module and of those that it imports from the folder of the recipe, found by reading
    them; of a module that is not in the folder, its own file alone.
    """
    if not isinstance(spec, CustomTrunkSpec | CustomNetSpec):
        return None
    name = spec.factory.partition(":")[0]
    paths = _sources(name, folder) or _installed(name)
    return sha256_of(*(path.read_bytes() for path in sorted(paths)))


def _sources(name: str, folder: Path) -> set[Path]:
    """The files in the folder that importing a module runs."""
    paths: set[Path] = set()
    names = [name]
    while names:
        parts = names.pop().split(".")
        for end in range(1, len(parts) + 1):  # a package runs before its modules
            place = folder.joinpath(*parts[:end])
            for path, package in ((place / "__init__.py", parts[:end]), (place.with_suffix(".py"), parts[: end - 1])):
                if path.is_file() and path not in paths:
                    paths.add(path)
                    names += _imports(path, package)
    return paths


def _imports(path: Path, package: Sequence[str]) -> Iterator[str]:
    """The full names that a module's import statements may mean; none where it is not Python."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # importing it will tell
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            base += node.module.split(".") if node.module else []
            yield from (".".join([*base, alias.name]) for alias in node.names)


def _installed(name: str) -> set[Path]:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # importing it will tell
        return set()
    return {Path(spec.origin)} if spec is not None and spec.origin and Path(spec.origin).is_file() else set()


def custom_trunk(name: str, factory: Factory, example: Tensor) -> Trunk:
    """What the factory makes of the input's shape: a trunk, or a module that gives vectors, as a trunk of one stage.

    Raises:
        RecipeError: the factory fails, or what it gives is neither.
    """
    place = f"net.trunk: 'python:{name}'"
    module = _made(place, factory, example)
    out = _dry_run(place, module, example)
    if isinstance(module, Trunk):
        return module
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != len(example):
        raise RecipeError(f"{place}: must give features (N, F), found {_shown(out)}")
    return Trunk(module, [], nn.Identity(), (out.shape[1],))


def custom_net(
    name: str, factory: Factory, example: Tensor, tasks: Sequence[Task], statistics: Mapping[str, TargetStatistics]
) -> MultiTaskNet:
    """What the factory makes of the input's shape, as the whole network.

    Its outputs of regressions are standard deviations from the training labels' mean, like those of our own heads
    before their last step.

    Raises:
        RecipeError: the factory fails, or its module's outputs are not those of the tasks.
    """
    place = f"net.module: 'python:{name}'"
    module = _made(place, factory, example)
    outputs = _dry_run(place, module, example)
    if not isinstance(outputs, dict):
        raise RecipeError(f"{place}: must give a dict of one output per task, found {_shown(outputs)}")
    names = [task.name for task in tasks]
    if set(outputs) != set(names):
        raise RecipeError(f"{place}: must give the outputs {', '.join(names)}, found {', '.join(map(str, outputs))}")
    for task in tasks:
        shape = (len(example), task.width, *(example.shape[2:] if task.dense else ()))
        out = outputs[task.name]
        if not isinstance(out, Tensor) or out.shape != shape:
            wanted = f"(N, {', '.join(map(str, shape[1:]))})"
            raise RecipeError(f"{place}: output {task.name!r} must be {wanted}, found {_shown(out)}")
    heads = {task.name: Unit(statistics[task.name]) for task in tasks}
    return MultiTaskNet(OutputsInOrder(module, names), heads)


class OutputsInOrder(nn.Module):
    """A whole network whose outputs stand where those of a sharing scheme would."""

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self.names = tuple(names)

    def forward(self, x: Tensor) -> list[Tensor]:
        """A batch of inputs -> the output of each task."""
        outputs = self.module(x)
        return [outputs[name] for name in self.names]


class Unit(nn.Module):
    """The way back from the standardised scale to the target's own unit."""

    def __init__(self, statistics: TargetStatistics) -> None:
        super().__init__()
        self.mean = statistics.mean
        self.std = statistics.std

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return x if (self.mean, self.std) == (0, 1) else x * self.std + self.mean


def _made(place: str, factory: Factory, example: Tensor) -> nn.Module:
    try:
        module = factory(tuple(example.shape[1:]))
    except Exception as error:
        raise RecipeError(f"{place}: the factory failed: {_told(error)}") from error
    if not isinstance(module, nn.Module):
        raise RecipeError(f"{place}: must give a torch.nn.Module, found {type(module).__name__}")
    return module


def _dry_run(place: str, module: nn.Module, example: Tensor) -> object:
    training = module.training
    try:
        with torch.no_grad():
            return module.eval()(example)
    except Exception as error:
        raise RecipeError(f"{place}: fails on inputs {tuple(example.shape)}: {_told(error)}") from error
    finally:
        module.train(training)


def _shown(value: object) -> str:
    return f"the shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _told(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _import(name: str, folder: Path) -> ModuleType:
    top = name.partition(".")[0]
    if importlib.machinery.PathFinder.find_spec(top, [str(folder.resolve())]) is None:
        return importlib.import_module(name)
    with _only_from(folder.resolve(), top):
        return importlib.import_module(name)


@contextmanager
def _only_from(folder: Path, top: str) -> Iterator[None]:
    """Import a package of that name from the folder, even where another one has been imported before."""
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == top}
    for name in before:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.update(before)
