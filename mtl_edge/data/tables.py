"""Tables in files, csv and parquet, read in batches through pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mtl_edge.data.rows import Batch, Field, Rows
from mtl_edge.errors import DataError, needs_extra
from mtl_edge.recipe import DataSpec

with needs_extra("data"):
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.compute as pc  # type: ignore[import-untyped]
    import pyarrow.csv  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

_BLOCK_BYTES = 4 << 20
_ROWS = 8192

_TEXT = np.dtype(object)


def open_csv(path: Path, place: str, spec: DataSpec) -> Rows:
    """A csv with a header.

    Raises:
        DataError: it cannot be read, or holds no rows.
    """
    rows = CsvRows(path, place, spec.delimiter, frozenset(spec.missing))
    len(rows)
    return rows


def open_parquet(path: Path, place: str) -> Rows:
    """A parquet file, or all of a folder in the order of their names.

    Raises:
        DataError: they cannot be read, differ in their columns, or hold no rows.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{place}: the folder must hold *.parquet files, found none in {path}")
    rows = ParquetRows(tuple(files), place)
    len(rows)
    return rows


@dataclass(frozen=True)
class CsvRows:
    """A csv with a header. A column is numbers if all its cells are, apart from missing ones; else it is text."""

    is_table: ClassVar[bool] = True

    path: Path
    place: str
    delimiter: str
    missing: frozenset[str]

    @cached_property
    def _scan(self) -> tuple[int, dict[str, Field]]:
        """One pass over the file: how many rows there are, and what each column holds."""
        count = 0
        kinds: dict[str, np.dtype] = {}
        gaps: dict[str, bool] = {}
        for batch in self._texts():
            count += batch.num_rows
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                kinds[name] = max(kinds.get(name, np.dtype(np.int64)), _kind(column), key=_generality)
                gaps[name] = gaps.get(name, False) or column.null_count > 0
        if not count:
            raise DataError(f"{self.place}: must hold at least one row below its header, found none")
        whole = np.dtype(np.int64)
        fields = {
            name: Field(np.dtype(np.float64) if kind == whole and gaps[name] else kind) for name, kind in kinds.items()
        }
        return count, fields

    @property
    def fields(self) -> Mapping[str, Field]:
        """int64, float64 or text."""
        return self._scan[1]

    def __len__(self) -> int:
        return self._scan[0]

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        """The columns, each in its dtype."""
        for batch in self._texts(names):
            yield {name: _values(batch.column(name), self.fields[name]) for name in dict.fromkeys(names)}

    def _texts(self, names: Sequence[str] | None = None) -> Iterator[Any]:
        """Record batches of trimmed texts, null where a cell is missing."""
        with _reading(self.place):
            header = self._open(pa.csv.ConvertOptions()).schema.names
            trimmed = [name.strip() for name in header]
            for name in trimmed:
                if trimmed.count(name) > 1:
                    raise DataError(f"{self.place}: column names must differ, found {name!r} twice")
            as_text = pa.csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                include_columns=[
                    raw for raw, name in zip(header, trimmed, strict=True) if names is None or name in names
                ],
                strings_can_be_null=False,
            )
            missing = pa.array(sorted(self.missing), pa.string())
            for batch in self._open(as_text):
                columns = [pc.utf8_trim_whitespace(column) for column in batch.columns]
                columns = [pc.if_else(pc.is_in(column, missing), None, column) for column in columns]
                yield pa.record_batch(columns, names=[name.strip() for name in batch.schema.names])

    def _open(self, convert: Any) -> Any:
        return pa.csv.open_csv(
            self.path,
            read_options=pa.csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
            parse_options=pa.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            convert_options=convert,
        )


@dataclass(frozen=True)
class ParquetRows:
    """Parquet files of one schema, one after the other."""

    is_table: ClassVar[bool] = True

    files: tuple[Path, ...]
    place: str

    @cached_property
    def _scan(self) -> tuple[int, dict[str, Field]]:
        """From the files' footers: how many rows there are, and what each column holds."""
        count, gaps = 0, set[str]()
        schema: Any = None
        for path in self.files:
            with _reading(self.place), pq.ParquetFile(path) as file:
                found = file.schema_arrow.remove_metadata()
                if schema is not None and not found.equals(schema):
                    raise DataError(f"{path}: must have the columns and types of {self.files[0].name}, found others")
                schema = found
                count += file.metadata.num_rows
                gaps.update(_may_be_missing(file.metadata))
        if not count:
            raise DataError(f"{self.place}: must hold at least one row, found none")
        return count, {item.name: _arrow_field(item.type, item.name in gaps) for item in schema}

    @property
    def fields(self) -> Mapping[str, Field]:
        """int64 or float64, bool, text, or the numpy dtype of another type."""
        return self._scan[1]

    def __len__(self) -> int:
        return self._scan[0]

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        """The columns, each in its dtype."""
        wanted = list(dict.fromkeys(names))
        for path in self.files:
            # Buffered and not read ahead, or a whole row group would be in memory.
            with _reading(self.place), pq.ParquetFile(path, buffer_size=1 << 18, pre_buffer=False) as file:
                for batch in file.iter_batches(batch_size=_ROWS, columns=wanted, use_threads=False):
                    yield {name: _values(batch.column(name), self.fields[name]) for name in wanted}


def _may_be_missing(metadata: Any) -> set[str]:
    """The columns with missing values, or for which the file does not say that there are none."""
    missing: set[str] = set()
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            statistics = column.statistics
            if statistics is None or not statistics.has_null_count or statistics.null_count:
                missing.add(column.path_in_schema)
    return missing


def _arrow_field(kind: Any, missing: bool) -> Field:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return Field(_TEXT if missing else np.dtype(bool))
    if pa.types.is_integer(kind):
        return Field(np.dtype(np.float64 if missing else np.int64))
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return Field(np.dtype(np.float64))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Field(_TEXT)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Field(np.dtype("M8[us]"))
    return Field(np.dtype("V"))  # refused wherever it is asked for


def _values(column: Any, field: Field) -> np.ndarray:
    """An Arrow array as a numpy array of the field's dtype; missing numbers are NaN, missing texts None."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    match field.dtype.kind:
        case "i":
            column = column.cast(pa.int64())
        case "f":
            column = column.cast(pa.float64())
        case "M":
            column = column.cast(pa.timestamp("us"))
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    return values


def _kind(column: Any) -> np.dtype:
    """The narrowest dtype that all texts of a csv's column can be read as."""
    for kind, dtype in ((pa.int64(), np.int64), (pa.float64(), np.float64)):
        try:
            column.cast(kind)
        except pa.ArrowInvalid:
            continue
        return np.dtype(dtype)
    return _TEXT


def _generality(dtype: np.dtype) -> int:
    return "ifO".index(dtype.kind)


@contextmanager
def _reading(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror or _one_line(error)}") from error
    except pa.ArrowException as error:
        raise DataError(f"{place}: cannot be read: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
