"""The network's one input array, from the columns of the sources."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mtl_edge.data.cut import Cut
from mtl_edge.data.rows import Batch, Field, Rows, check_column, check_numbers
from mtl_edge.errors import DataError, RecipeError
from mtl_edge.preprocessing import Table, Tokens, fit_table, fit_tokens
from mtl_edge.recipe import DataSpec


@dataclass(frozen=True)
class Inputs:
    """How the input is made of a batch of columns.

    Attributes:
        columns: what is read.
        field: what comes out.
        encoding: what texts and tables are encoded with, fitted on train; None where the one column is the input.
    """

    columns: tuple[str, ...]
    field: Field
    encoding: Table | Tokens | None = None

    def read(self, batch: Batch) -> np.ndarray:
        """The input ``(rows, …)``."""
        match self.encoding:
            case None:
                return batch[self.columns[0]].astype(self.field.dtype, copy=False)
            case Table():
                return self.encoding.encode({name: _plain(batch[name]) for name in self.columns})
            case Tokens():
                return self.encoding.encode(batch[self.columns[0]])


def array_inputs(spec: DataSpec, everything: Sequence[Rows]) -> Inputs:
    """The input as an array that all sources have, with the same dtype and shape.

    Raises:
        DataError: a source lacks it, has something else than numbers, or something else than the first.
    """
    first: Field | None = None
    for rows in everything:
        check_column(spec.input, rows.fields, f"{rows.place}: data.input")
        field = rows.fields[spec.input]
        if field.dtype.kind not in "biuf":
            raise DataError(f"{rows.place}: data.input: must be numbers, found dtype {field.dtype}")
        first = first or field
        if field != first:
            raise DataError(
                f"data.input: {spec.input!r} must be the same in all sources, found {_shown(first)} in "
                f"{everything[0].place} and {_shown(field)} in {rows.place}"
            )
    assert first is not None
    if not first.shape:
        raise DataError(f"{everything[0].place}: input {spec.input!r} must have the shape (N, C, …), found (N,)")
    dtype = np.dtype(np.uint8) if first.dtype.kind == "b" else first.dtype
    return Inputs((spec.input,), Field(dtype, first.shape))


def fit_table_inputs(spec: DataSpec, cuts: Sequence[Cut], targets: Sequence[str]) -> Inputs:
    """The input as encoded columns of tables, or as the words of one column; fitted on the training rows.

    Args:
        spec: which columns, and how.
        cuts: tables, all with these columns.
        targets: columns that are no input unless they are asked for.

    Raises:
        RecipeError: the recipe asks for a text and for columns.
        DataError: a column is missing, or cannot be read as asked.
    """
    if spec.text is not None:
        if spec.columns or spec.numeric or spec.categorical or spec.drop:
            raise RecipeError(
                "data.text: must stand alone: a network reads one text or the columns of a table, found both"
            )
        return _fit_text(spec, spec.text, cuts)
    names = _input_columns(spec, cuts, targets)
    for name in names:
        kinds = {cut.rows.fields[name].is_text: cut.rows.place for cut in cuts}
        if len(kinds) > 1:
            raise DataError(
                f"data.input: column {name!r} must be the same in all sources, found text in {kinds[True]} and numbers "
                f"in {kinds[False]}"
            )
    table = fit_table(
        ({name: _plain(batch[name]) for name in names} for cut in cuts for batch in cut.train_batches(names)),
        numeric=spec.numeric,
        categorical=spec.categorical,
        max_categories=spec.max_categories,
        min_count=spec.min_count,
    )
    return Inputs(names, Field(np.dtype(table.dtype), (len(names),)), table)


def _fit_text(spec: DataSpec, text: str, cuts: Sequence[Cut]) -> Inputs:
    for cut in cuts:
        where = f"{cut.rows.place}: data.text"
        check_column(text, cut.rows.fields, where)
        if not cut.rows.fields[text].is_text:
            raise DataError(f"{where}: column {text!r} must be text, found {cut.rows.fields[text].dtype}")
    tokens = fit_tokens(
        _texts(text, cuts), max_words=spec.max_words, max_vocabulary=spec.max_vocabulary, min_count=spec.min_count
    )
    if not tokens.vocabulary:
        rule = f"must have words that occur {spec.min_count} times in train (data.min_count)"
        raise DataError(f"{cuts[0].rows.place}: data.text: column {text!r} {rule}, found none")
    return Inputs((text,), Field(np.dtype(tokens.dtype), (tokens.length,)), tokens)


def _texts(text: str, cuts: Sequence[Cut]) -> Iterator[str | None]:
    for cut in cuts:
        for batch in cut.train_batches([text]):
            yield from batch[text]


def _input_columns(spec: DataSpec, cuts: Sequence[Cut], targets: Sequence[str]) -> tuple[str, ...]:
    """The columns that are asked for, all of which must be in all tables, and hold numbers or texts."""
    offered = cuts[0].rows.fields
    for key in ("columns", "drop", "numeric", "categorical"):
        for name in getattr(spec, key):
            check_column(name, offered, f"{cuts[0].rows.place}: data.{key}")
    for name in spec.columns:
        if name in targets:
            raise RecipeError(f"data.columns: must not hold what a target is made of, found {name!r}")
    left_out = {*spec.drop, *targets, *({spec.split_column} - {*spec.columns})}
    names = tuple(name for name in spec.columns or offered if name not in left_out)
    if not names:
        raise DataError(
            f"{cuts[0].rows.place}: data.columns: at least one column must be left for the input, found none"
        )
    for key, kind in (("numeric", spec.numeric), ("categorical", spec.categorical)):
        for name in kind:
            if name not in names:
                raise RecipeError(f"data.{key}: must hold columns of the input, {', '.join(names)}, found {name!r}")
    for name in spec.categorical:
        if name in spec.numeric:
            raise RecipeError(f"data.categorical: must not hold what data.numeric does, found {name!r} in both")
    for cut in cuts:
        for name in names:
            check_column(name, cut.rows.fields, f"{cut.rows.place}: data.columns")
            field = cut.rows.fields[name]
            if field.dtype.kind not in "biufO":
                rule = "must hold numbers or text, or be named in data.drop"
                raise DataError(f"{cut.rows.place}: column {name!r} {rule}, found {field.dtype}")
            if name in spec.numeric:
                check_numbers(cut.rows, name, f"{cut.rows.place}: data.numeric")
    return names


def _plain(values: np.ndarray) -> np.ndarray:
    """Numbers as float64; texts and truth values as they are."""
    return values if values.dtype.kind in "Ob" else values.astype(np.float64)


def _shown(field: Field) -> str:
    return f"{field.dtype} {('N', *field.shape)}".replace("'", "")
