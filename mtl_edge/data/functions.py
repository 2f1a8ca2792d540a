"""Samples that a Python function of the user makes."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mtl_edge.data.splits import Samples
from mtl_edge.errors import DataError, RecipeError

_SPLITS = ("train", "val", "test")


def call_function(source: str, folder: Path, rng: np.random.Generator) -> tuple[Samples, ...]:
    """What ``function(rng)`` of ``python:package.module:function`` returns: all samples, or train, val and test.

    The function returns arrays by name, or such a mapping for each of ``train``, ``val`` and ``test``. Arrays that map
    a file, such as ``np.load(…, mmap_mode="r")`` gives, are never read as a whole.

    Args:
        source: as the recipe has it.
        folder: where modules are looked for first.
        rng: the source of chance.

    Raises:
        RecipeError: there is no such module or function.
        DataError: the function fails, or returns something else.
    """
    module, function = _names(source)
    with _importing_from(folder, module):
        try:
            returned = _function(source, module, function, folder)(rng)
        except (RecipeError, KeyboardInterrupt, SystemExit):
            raise
        except Exception as error:  # it is the user's function
            raise DataError(f"{source}: the function raised {type(error).__name__}: {_one_line(error)}") from error
    if not isinstance(returned, Mapping) or not returned:
        raise DataError(f"{source}: must return arrays by name, found {_one_line(returned)}")
    if set(returned) == set(_SPLITS) and all(isinstance(part, Mapping) for part in returned.values()):
        return tuple(_samples(returned[name], f"{source} ({name} split)") for name in _SPLITS)
    return (_samples(returned, source),)


def module_file(source: str, folder: Path) -> Path:
    """The file of the function's module.

    Raises:
        RecipeError: there is no such module.
    """
    module, _ = _names(source)
    own = folder.joinpath(*module.split("."))
    for path in (own.with_suffix(".py"), own / "__init__.py"):
        if path.is_file():
            return path
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None or not Path(found.origin).is_file():
        raise RecipeError(
            f"data.source: {source!r} must name a module in {folder} or of an installed package, found none"
        )
    return Path(found.origin)


def _names(source: str) -> tuple[str, str]:
    module, _, function = source.removeprefix("python:").partition(":")
    if not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise RecipeError(f"data.source: must be 'python:package.module:function', found {source!r}")
    return module, function


def _function(source: str, module: str, function: str, folder: Path) -> Callable[[np.random.Generator], Any]:
    path = module_file(source, folder)
    found = getattr(importlib.import_module(module), function, None)
    if not callable(found):
        raise RecipeError(f"data.source: {source!r} must name a function of {path}, found none")
    return found  # type: ignore[no-any-return]


@contextmanager
def _importing_from(folder: Path, module: str) -> Iterator[None]:
    """Imports look into a folder first, and leave no trace: another recipe may have a module of the same name."""
    top = module.partition(".")[0]
    own = {entry.stem for entry in folder.iterdir() if entry.suffix == ".py" or entry.is_dir()}
    hidden = {name: found for name, found in sys.modules.items() if top in own and name.partition(".")[0] == top}
    for name in hidden:
        del sys.modules[name]
    path, before = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(folder.resolve()))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in own:
                del sys.modules[name]
        sys.modules.update(hidden)


def _samples(arrays: Mapping[Any, Any], place: str) -> Samples:
    """Checked: arrays of one length, by name."""
    plain: dict[str, np.ndarray] = {}
    for name, values in arrays.items():
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise DataError(f"{place}: {name!r} must be an array, found {_one_line(error)}") from error
        if array.ndim == 0 or array.dtype.hasobject:
            raise DataError(f"{place}: {name!r} must be an array of numbers (N, …), found {_one_line(values)}")
        plain[str(name)] = array
    lengths = {name: len(array) for name, array in plain.items()}
    if not lengths or len(set(lengths.values())) > 1:
        raise DataError(f"{place}: must return arrays of one length, found {lengths}")
    return Samples(plain)


def _one_line(value: object) -> str:
    text = " ".join((str(value) if isinstance(value, Exception) else repr(value)).split())
    return text if len(text) <= 200 else f"{text[:197]}…"
