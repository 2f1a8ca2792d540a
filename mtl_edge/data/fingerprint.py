"""What a recipe's sources are, and what tells that one of them has changed."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from mtl_edge.data.functions import module_file
from mtl_edge.data.generated import FASHION_SOURCES, GENERATED_SOURCES, generated_fingerprint
from mtl_edge.errors import DataError, RecipeError
from mtl_edge.recipe import DataSpec, Recipe, SourceSpec
from mtl_edge.storage import sha256_of, sha256_of_file
from mtl_edge.zoo.cache import find_table

_FORMS = ("npz:FILE", "npy:FOLDER", "csv:FILE", "parquet:PATH", "images:FOLDER", "zoo:NAME", "python:MODULE:FUNCTION")


def sources_of(spec: DataSpec) -> dict[str, SourceSpec]:
    """The sources by name; a single one has none.

    Raises:
        RecipeError: there is none, or there are both kinds.
    """
    single = (spec.source, spec.val_source, spec.test_source)
    if spec.sources and any(single):
        raise RecipeError("data: must have either source or [data.sources.NAME] tables, found both")
    if spec.sources:
        return spec.sources
    if not spec.source:
        raise RecipeError("data.source: is required, or [data.sources.NAME] tables in its place, found none")
    return {"": SourceSpec(source=spec.source, val_source=spec.val_source, test_source=spec.test_source)}


def parse_source(source: str) -> tuple[str, str]:
    """The kind of a source, and the rest: ``csv:people.csv`` -> ``csv``, ``people.csv``.

    Raises:
        RecipeError: there is no such kind.
    """
    kind, _, rest = source.partition(":")
    fits = kind in {form.partition(":")[0] for form in _FORMS} if rest else source in GENERATED_SOURCES
    if fits or (rest and kind in FASHION_SOURCES):
        return kind, rest
    near = difflib.get_close_matches(source, GENERATED_SOURCES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    forms = f"{', '.join((*GENERATED_SOURCES, *_FORMS[:-1]))} or {_FORMS[-1]}"
    raise RecipeError(f"data.source: must be {forms}, found {source!r}{hint}")


def source_fingerprint(recipe: Recipe) -> str | None:
    """What tells whether a source outside the package has changed, or None if all are built in.

    It is a hash of file names and contents. Of ``images:``, whose files are many, the table of labels counts with its
    content, the images with their names, sizes and times of change; of ``python:``, the module's own file counts.

    Raises:
        RecipeError: no such source.
        DataError: a file cannot be read.
    """
    parts: list[str] = []
    for name, spec in sources_of(recipe.data).items():
        for source in filter(None, (spec.source, spec.val_source, spec.test_source)):
            parts += [f"{name}\0{source}\0{part}" for part in _parts(source, recipe)]
    return sha256_of("\n".join(parts).encode()) if parts else None


def source_libraries(recipe: Recipe) -> tuple[str, ...]:
    """Packages whose version can change what is read from the sources.

    Raises:
        RecipeError: no such source.
    """
    found: set[str] = set()
    for spec in sources_of(recipe.data).values():
        for source in filter(None, (spec.source, spec.val_source, spec.test_source)):
            match parse_source(source)[0]:
                case "csv" | "parquet" | "zoo":
                    found.add("pyarrow")
                case "images":
                    found |= {"pillow", "pyarrow"}
    return tuple(sorted(found))


def _parts(source: str, recipe: Recipe) -> Iterator[str]:
    kind, rest = parse_source(source)
    path = recipe.folder / rest
    match kind:
        case "npz" | "csv":
            yield _content(path)
        case "npy" | "parquet" if path.is_dir():
            for file in sorted(path.glob(f"*.{kind}")):
                yield f"{file.name}\0{_content(file)}"
        case "parquet" | "npy":
            yield _content(path)
        case "images":
            yield _content(path / recipe.data.labels)
            for file in sorted(path.rglob("*")):
                if file.is_file():
                    state = file.stat()
                    yield f"{file.relative_to(path).as_posix()}\0{state.st_size}\0{state.st_mtime_ns}"
        case "zoo":
            yield _content(find_table(rest))
        case "python":
            yield _content(module_file(source, recipe.folder))
        case _:
            if (pictures := generated_fingerprint(kind, path if rest else None)) is not None:
                yield pictures


def _content(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
