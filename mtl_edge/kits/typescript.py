"""TypeScript's view of one model: its tasks and samples by name, so that a misspelt one does not compile."""

import json
from collections.abc import Iterable

from mtl_edge.artifact import Manifest, ModelInput
from mtl_edge.kits.arguments import RowsInGraph, arguments
from mtl_edge.preprocessing import CategoricalColumn, Table, Tokens
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
export declare function openKit(options?: OpenOptions): Promise<client.Model<Answers, Sample>>;
"""


def typescript_types(manifest: Manifest) -> str:
    """``kit.d.ts``: what the model answers, and what a sample of it is.

    Names stand in quotes, as JSON writes them, so that any of them will do.
    """
    answers = _interface("What the model answers for one sample.", "Answers", map(_answer, manifest.tasks))
    (read,) = arguments(manifest.inputs)
    sample = (
        _row((name, name in read.texts) for name in read.columns) if isinstance(read, RowsInGraph) else _sample(read)
    )
    return "\n".join((_HEAD, answers, sample, _FOOT))


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


def _sample(source: ModelInput) -> str:
    match source.preprocessing:
        case Tokens():
            return "/** A text; null where there is none. */\nexport type Sample = string | null;\n"
        case Table(columns=columns):
            return _row((column.name, isinstance(column, CategoricalColumn)) for column in columns)
        case steps:
            array = _ARRAYS.get(steps.raw_dtype, "never")
            open_sizes = any(isinstance(size, str) for size in source.shape[1:])
            sample = "client.NdArray" if open_sizes else f"{array} | client.NdArray"
            shape = json.dumps(source.shape[1:]).replace("*/", "* /")
            return f"/** Raw values in C order, shape {shape}. */\nexport type Sample = {sample};\n"


def _row(columns: Iterable[tuple[str, bool]]) -> str:
    """A row's type, of the names of its columns and whether they are categories."""
    cells = (
        (name, "string | number | boolean | null" if category else "number | string | null")
        for name, category in columns
    )
    row = _interface("A row; null where a value is missing.", "Row", cells)
    return f"{row}\nexport type Sample = Row;\n"


def _interface(says: str, name: str, members: Iterable[tuple[str, str]]) -> str:
    lines = (f"  readonly {json.dumps(member)}: {kind};" for member, kind in members)
    return "\n".join((f"/** {says} */", f"export interface {name} {{", *lines, "}", ""))
