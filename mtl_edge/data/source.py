"""From a recipe's ``[data]`` to checked splits in a folder."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from mtl_edge.data.archive import unpack_npz
from mtl_edge.data.check import check_samples
from mtl_edge.data.cut import CUT_NAMES, Cut, cut_rows, whole
from mtl_edge.data.fingerprint import parse_source, sources_of
from mtl_edge.data.functions import call_function
from mtl_edge.data.generated import generate
from mtl_edge.data.inputs import array_inputs, fit_table_inputs
from mtl_edge.data.rows import ArrayRows, Rows
from mtl_edge.data.splits import Samples, load_samples
from mtl_edge.data.targets import carried_targets, find_targets
from mtl_edge.data.write import write_cuts
from mtl_edge.errors import DataError, RecipeError
from mtl_edge.preprocessing import Preprocessing, fit_pixels
from mtl_edge.recipe import Recipe, SourceSpec
from mtl_edge.storage import write_atomically
from mtl_edge.zoo.cache import find_table

CLASSES_FILE = "classes.json"


def prepare(recipe: Recipe, folder: Path) -> Preprocessing:
    """Read the sources, split them by the recipe's seed, check every sample, fit the preprocessing on train.

    Writes ``train/``, ``val/``, ``calib/`` and ``test/`` into the folder, one ``.npy`` per array, which
    :func:`mtl_edge.data.splits.load_splits_from` maps; and for targets that were texts, the texts in the order of their
    class numbers, in :data:`CLASSES_FILE`. Memory does not grow with the data, apart from some bytes for
    each sample.

    Raises:
        RecipeError: the recipe names no such source, or contradicts itself.
        DataError: the data cannot be read, or contradicts the recipe.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="unpacked-", ignore_cleanup_errors=True) as scratch:
        return _prepare(recipe, folder, Path(scratch))


def _prepare(recipe: Recipe, folder: Path, scratch: Path) -> Preprocessing:
    rng = np.random.default_rng(recipe.seed)
    spec = recipe.data
    sources = sources_of(spec)
    cuts = [
        cut
        for origin, source in enumerate(sources.values())
        for cut in _cuts(source, origin, recipe, scratch / str(origin), rng)
    ]
    _check_none_is_empty(cuts, recipe)
    carried = carried_targets(recipe, sources, cuts)
    targets = find_targets(recipe, cuts, carried)
    if _are_tables(cuts):
        inputs = fit_table_inputs(spec, cuts, [target.column for target in targets.values()])
    else:
        inputs = array_inputs(spec, [cut.rows for cut in cuts])
    write_cuts(folder, cuts, spec.input, inputs, targets, carried, rng)
    for name in CUT_NAMES:
        place = f"{_place(recipe)} ({name} split)"
        check_samples(load_samples(folder / name), recipe, place, gaps=inputs.encoding is not None)
    if names := {target.name: target.classes for target in targets.values() if target.classes}:
        write_atomically(folder / CLASSES_FILE, msgspec.json.encode(names))
    train = load_samples(folder / "train")
    train.take(rng.permutation(len(train))[: spec.calibration]).save(folder / "calib")
    return inputs.encoding or fit_pixels(train[spec.input])


def _cuts(source: SourceSpec, origin: int, recipe: Recipe, scratch: Path, rng: np.random.Generator) -> list[Cut]:
    """The rows of one source, and what each is for."""
    published = {1: source.val_source, 2: source.test_source}
    opened = open_source(source.source, recipe, scratch / "train", rng)
    if isinstance(opened, tuple):
        if any(published.values()):
            raise RecipeError(
                f"data: {source.source!r} makes its own splits, found val_source or test_source beside it"
            )
        rows = [ArrayRows(source.source, samples) for samples in opened]
        return [Cut(part, whole(len(part), split), origin) for split, part in enumerate(rows)]
    splits = (0, *(split for split, place in published.items() if place is None))
    if recipe.data.split_by == "column" and len(splits) < len(CUT_NAMES):
        raise RecipeError("data.split_by: 'column' names all splits, found val_source or test_source beside it")
    cuts = [Cut(opened, cut_rows(opened, recipe.data, rng, splits), origin)]
    for split, place in published.items():
        if place is not None:
            part = open_source(place, recipe, scratch / CUT_NAMES[split], rng)
            if isinstance(part, tuple):
                raise RecipeError(f"data: {place!r} makes its own splits, and cannot be one of them")
            cuts.append(Cut(part, whole(len(part), split), origin))
    return cuts


def open_source(source: str, recipe: Recipe, scratch: Path, rng: np.random.Generator) -> Rows | tuple[Samples, ...]:
    """The rows of a source, or train, validation and test of one that makes its own splits."""
    kind, rest = parse_source(source)
    path = recipe.folder / rest
    match kind:
        case "npz":
            return ArrayRows(source, unpack_npz(path, scratch))
        case "npy":
            if not path.is_dir():
                raise DataError(f"{path}: must be a folder of .npy files, found none")
            return ArrayRows(source, load_samples(path))
        case "csv" | "parquet":
            from mtl_edge.data.tables import open_csv, open_parquet

            return open_csv(path, source, recipe.data) if kind == "csv" else open_parquet(path, source)
        case "images":
            from mtl_edge.data.images import open_images

            return open_images(path, source, recipe.data)
        case "python":
            samples = call_function(source, recipe.folder, rng)
            return samples if len(samples) > 1 else ArrayRows(source, samples[0])
        case "zoo":
            from mtl_edge.data.tables import open_parquet

            return open_parquet(find_table(rest), source)
        case _:
            return generate(kind, recipe.data, rng, path if rest else None)


def _are_tables(cuts: Sequence[Cut]) -> bool:
    """Whether the input has to be encoded; sources are all tables, or none is."""
    tables = {cut.rows.is_table: cut.rows.place for cut in cuts}
    if len(tables) > 1:
        raise RecipeError(f"data.sources: must be all tables or all arrays, found {tables[True]} and {tables[False]}")
    return True in tables


def _check_none_is_empty(cuts: Sequence[Cut], recipe: Recipe) -> None:
    spec = recipe.data
    for split, name in enumerate(CUT_NAMES):
        if not any(len(cut.parts[split]) for cut in cuts):
            count = sum(len(cut.rows) for cut in cuts)
            raise DataError(f"{_place(recipe)}: the {name} split is empty: {count} samples in the shares {spec.split}")


def _place(recipe: Recipe) -> str:
    """What an error calls the data as a whole."""
    return recipe.data.source or "data.sources"
