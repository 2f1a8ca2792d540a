"""Swift's view of one model: its tasks and samples by name, so that a misspelt one does not compile."""

import re

from mtl_edge.artifact import Manifest
from mtl_edge.kits.identifiers import identifiers
from mtl_edge.preprocessing import CategoricalColumn, Table

SWIFT_FILE = "Sources/MtlEdge/Answers.swift"

_KEYWORDS = """
Any Self as associatedtype break case catch class continue default defer deinit do else enum extension fallthrough false
fileprivate for func guard if import in init inout internal is let nil open operator precedencegroup private protocol
public repeat rethrows return self static struct subscript super switch throw throws true try typealias var where while
Type Protocol
"""
_RESERVED = frozenset([*_KEYWORDS.split(), "byTask", "values"])

_HEAD = """\
// What this kit's model reads and answers, as its manifest describes it. Written by mtl-edge; write no changes here.

/// What the model answers for one sample.
public struct Answers {
    let byTask: [String: Answer]

"""


def swift_types(manifest: Manifest) -> str:
    """``Answers.swift``: what the model answers, and a row of what it reads, if that is a table."""
    names = identifiers((task.name for task in manifest.tasks), _RESERVED)
    answers = "".join(
        f"    public var {names[task.name]}: {type(task).__name__} "
        f"{{ byTask[{_text(task.name)}] as! {type(task).__name__} }}\n"
        for task in manifest.tasks
    )
    return f"{_HEAD}{answers}}}\n{_row(manifest)}"


def _row(manifest: Manifest) -> str:
    match manifest.inputs[0].preprocessing:
        case Table(columns=columns):
            names = identifiers((column.name for column in columns), _RESERVED)
            parameters = ", ".join(
                f"{names[column.name]}: {'String' if isinstance(column, CategoricalColumn) else 'Double'}?"
                for column in columns
            )
            cells = ", ".join(f"{_text(column.name)}: {names[column.name]} as Any?" for column in columns)
            return (
                "\n/// A row; nil where a value is missing.\n"
                "public struct Row {\n    let values: [String: Any?]\n\n"
                f"    public init({parameters}) {{\n        values = [{cells}]\n    }}\n}}\n\n"
                "extension Manifest {\n    /// Rows as the model reads them.\n"
                "    public func encode(rows: [Row]) -> RawSamples { encode(rows: rows.map(\\.values)) }\n}\n"
            )
        case _:
            return ""


def _text(value: str) -> str:
    """A string literal of ASCII characters in which nothing is interpolated."""
    plain = re.compile(r"[A-Za-z0-9 ._-]")
    return '"' + "".join(c if plain.match(c) else f"\\u{{{ord(c):x}}}" for c in value) + '"'
