"""Swift's view of one model: its tasks and samples by name, so that a misspelt one does not compile."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mtl_edge.artifact import Manifest
from mtl_edge.kits.arguments import Argument, RowsInGraph, arguments, cells_of, row_type
from mtl_edge.kits.identifiers import identifiers
from mtl_edge.preprocessing import Table, Tokens

SWIFT_FILE = "Sources/MtlEdge/Answers.swift"

_KEYWORDS = """
Any Self as associatedtype break case catch class continue default defer deinit do else enum extension fallthrough false
fileprivate for func guard if import in init inout internal is let nil open operator precedencegroup private protocol
public repeat rethrows return self static struct subscript super switch throw throws true try typealias var where while
Type Protocol
"""
_RESERVED = frozenset([*_KEYWORDS.split(), "byTask", "values", "manifest"])

_HEAD = """\
// What this kit's model reads and answers, as its manifest describes it. Written by mtl-edge; write no changes here.

/// What the model answers for one sample.
public struct Answers {
    let byTask: [String: Answer]

"""


@dataclass(frozen=True)
class _Argument:
    """What ``predict`` is given for one thing that the model reads.

    Attributes:
        parameter: its label and its type.
        feeds: the graph's inputs that are made of it, ``name: value`` each.
        row: a type that it needs.
    """

    parameter: str
    feeds: tuple[str, ...]
    row: str = ""


def swift_types(manifest: Manifest) -> str:
    """``Answers.swift``: what the model answers, rows of what it reads, if that is a table, and ``predict``."""
    names = identifiers((task.name for task in manifest.tasks), _RESERVED)
    answers = "".join(
        f"    public var {names[task.name]}: {type(task).__name__} "
        f"{{ byTask[{_text(task.name)}] as! {type(task).__name__} }}\n"
        for task in manifest.tasks
    )
    read = arguments(manifest.inputs)
    called = identifiers((item.name for item in read), _RESERVED)
    found = [_argument(item, called[item.name], alone=len(read) == 1) for item in read]
    parameters = ", ".join(item.parameter for item in found)
    feeds = ",\n            ".join(feed for item in found for feed in item.feeds)
    predict = (
        "\nextension Model {\n    /// Samples -> their answers.\n"
        f"    public func predict({parameters}) throws -> [Answers] {{\n"
        f"        try predict([\n            {feeds},\n        ])\n    }}\n}}\n"
    )
    return f"{_HEAD}{answers}}}\n{''.join(item.row for item in found)}{predict}"


def _argument(item: Argument, name: str, *, alone: bool) -> _Argument:
    if isinstance(item, RowsInGraph):
        return _rows(cells_of(item), item.inputs, name, alone=alone)
    match item.preprocessing:
        case Table() as table:
            return _rows(cells_of(table), [item.name], name, alone=alone)
        case Tokens():
            label = "texts" if alone else name
            feed = f"{_text(item.name)}: manifest.encode(texts: {label}, for: {_text(item.name)})"
            return _Argument(f"{label}: [String]", (feed,))
        case _:
            label = "raw" if alone else name
            return _Argument(f"{'_ ' * alone}{label}: RawSamples", (f"{_text(item.name)}: {label}",))


def _rows(columns: Sequence[tuple[str, bool]], inputs: Sequence[str], name: str, *, alone: bool) -> _Argument:
    """Rows of a table: the names of columns and whether they are categories; the inputs that are made of them."""
    label, row = ("rows", "Row") if alone else (name, row_type(name))
    names = identifiers((column for column, _ in columns), _RESERVED)
    parameters = ", ".join(f"{names[column]}: {'String' if texts else 'Double'}?" for column, texts in columns)
    cells = ", ".join(f"{_text(column)}: {names[column]} as Any?" for column, _ in columns)
    made = (
        "\n/// A row; nil where a value is missing.\n"
        f"public struct {row} {{\n    let values: [String: Any?]\n\n"
        f"    public init({parameters}) {{\n        values = [{cells}]\n    }}\n}}\n"
    )
    feeds = (f"{_text(item)}: manifest.encode(rows: {label}.map(\\.values), for: {_text(item)})" for item in inputs)
    return _Argument(f"{label}: [{row}]", tuple(feeds), made)


def _text(value: str) -> str:
    """A string literal of ASCII characters in which nothing is interpolated."""
    plain = re.compile(r"[A-Za-z0-9 ._-]")
    return '"' + "".join(c if plain.match(c) else f"\\u{{{ord(c):x}}}" for c in value) + '"'
