"""TypeScript's view of one model: its tasks and samples by name, so that a misspelt one does not compile."""

import json
from collections.abc import Iterable, Sequence

from mtl_edge.artifact import Manifest
from mtl_edge.kits.arguments import Argument, RowsInGraph, arguments, cells_of, row_type
from mtl_edge.kits.identifiers import identifiers
from mtl_edge.preprocessing import Table, Tokens
from mtl_edge.tasks import (
    Binary,
    DenseRegression,
    Multiclass,
    Multilabel,
    Ordinal,
    Regression,
    Segmentation,
    Task,
)

TYPES_FILE = "kit.d.ts"

_ARRAYS = {
    "bool": "Uint8Array",
    "uint8": "Uint8Array",
    "int8": "Int8Array",
    "uint16": "Uint16Array",
    "int16": "Int16Array",
    "uint32": "Uint32Array",
    "int32": "Int32Array",
    "uint64": "BigUint64Array",
    "int64": "BigInt64Array",
    "float32": "Float32Array",
    "float64": "Float64Array",
}

_HEAD = """\
// The types of this kit's model, as its manifest describes it. Written by mtl-edge; write no changes here.

import type * as client from "./mtl_edge/index.js";

export * from "./mtl_edge/index.js";
"""
_FOOT = """\
export interface OpenOptions {
  /** Where the kit's files are; beside kit.js if not given. */
  readonly folder?: string | URL;
  /** For one prediction; 1 if not given. */
  readonly threads?: number;
}

/** Verify the model's file and load it. `selfCheck()` of what this gives compares it with the golden vectors. */
export declare function openKit(options?: OpenOptions): Promise<client.Model<Answers, {generics}>>;
"""


def typescript_types(manifest: Manifest) -> str:
    """``kit.d.ts``: what the model answers, and what a sample of it is.

    Names stand in quotes, as JSON writes them, so that any of them will do.
    """
    answers = _interface("What the model answers for one sample.", "Answers", map(_answer, manifest.tasks))
    read = arguments(manifest.inputs)
    if len(read) == 1:
        row, says, sample = _sample(read[0], "Row")
        samples, generics = f"{row}/** {says} */\nexport type Sample = {sample};\n", "Sample"
    else:
        samples, generics = _samples(read), "never, Samples"
    return "\n".join((_HEAD, answers, samples, _FOOT.replace("{generics}", generics)))


def _answer(task: Task) -> tuple[str, str]:
    match task:
        case Binary():
            kind = "Binary"
        case DenseRegression():
            kind = "DenseRegression"
        case Multiclass():
            kind = "Multiclass"
        case Multilabel():
            kind = "Multilabel"
        case Ordinal():
            kind = "Ordinal"
        case Regression():
            kind = "Regression"
        case Segmentation():
            kind = "Segmentation"
    return task.name, f"client.{kind}"


def _samples(read: Sequence[Argument]) -> str:
    """Samples of each input, by its name."""
    names = identifiers((item.name for item in read), ())
    rows, members = [], []
    for item in read:
        name = names[item.name]
        row, says, sample = _sample(item, row_type(name))
        rows.append(row)
        several = f"readonly ({sample})[]" if " | " in sample else f"readonly {sample}[]"
        whole = "" if isinstance(item, RowsInGraph) else " | client.NdArray"
        members += [f"  /** {says} */", f"  readonly {json.dumps(item.name)}: {several}{whole};"]
    lines = (
        "/** Samples of each input, as many of one as of the others. */",
        "export interface Samples {",
        *members,
        "}",
    )
    return "".join(rows) + "\n".join((*lines, ""))


def _sample(source: Argument, row: str) -> tuple[str, str, str]:
    """A declaration that a sample needs, what is said of it, and its type."""
    if isinstance(source, RowsInGraph):
        return _row(row, cells_of(source)), "A row.", row
    match source.preprocessing:
        case Tokens():
            return "", "A text; null where there is none.", "string | null"
        case Table() as table:
            return _row(row, cells_of(table)), "A row.", row
        case steps:
            array = _ARRAYS.get(steps.raw_dtype, "never")
            open_sizes = any(isinstance(size, str) for size in source.shape[1:])
            sample = "client.NdArray" if open_sizes else f"{array} | client.NdArray"
            shape = json.dumps(source.shape[1:]).replace("*/", "* /")
            return "", f"Raw values in C order, shape {shape}.", sample


def _row(name: str, columns: Iterable[tuple[str, bool]]) -> str:
    """A row's type, of the names of its columns and whether they are categories."""
    cells = (
        (column, "string | number | boolean | null" if category else "number | string | null")
        for column, category in columns
    )
    return _interface("A row; null where a value is missing.", name, cells) + "\n"


def _interface(says: str, name: str, members: Iterable[tuple[str, str]]) -> str:
    lines = (f"  readonly {json.dumps(member)}: {kind};" for member, kind in members)
    return "\n".join((f"/** {says} */", f"export interface {name} {{", *lines, "}", ""))
