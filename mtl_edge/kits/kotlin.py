"""Kotlin's view of one model: its tasks and samples by name, so that a misspelt one does not compile."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mtl_edge.artifact import Manifest
from mtl_edge.kits.arguments import Argument, RowsInGraph, arguments, cells_of, row_type
from mtl_edge.kits.identifiers import identifiers
from mtl_edge.preprocessing import Table, Tokens

KOTLIN_FILE = "mtl_edge/src/main/kotlin/mtledge/Kit.kt"

_KEYWORDS = """
as break class continue do else false for fun if in interface is null object package return super this throw true try
typealias typeof val var when while
"""
_RESERVED = frozenset([*_KEYWORDS.split(), "byTask", "toMap", "model"])
_MOST_FIELDS = 200
"""A constructor has no more than 255 parameters."""

_HEAD = """\
// What this kit's model reads and answers, as its manifest describes it. Written by mtl-edge; write no changes here.

package mtledge

/** What the model answers for one sample. */
class Answers internal constructor(private val byTask: Map<String, Answer>) {
"""
_KIT = """\

/** This kit's model, verified and loaded. The calls of one must not overlap in time. */
class Kit(val model: Model) : AutoCloseable by model {
    /**
     * Verify a model's file, then load it.
     *
     * @throws ModelFileException it is not the one that was exported, or the runtime refuses it
     */
    constructor(content: ByteArray, threads: Int = 1) : this(verifiedManifest(content), content, threads)

    private constructor(manifest: Manifest, content: ByteArray, threads: Int) :
        this(Model(manifest, OrtNetwork(content, threads)))

    /** Compare what this device answers with the golden vectors; see [Model.selfCheck]. */
    fun selfCheck(read: (String) -> ByteArray): Int = model.selfCheck(read)
"""


@dataclass(frozen=True)
class _Argument:
    """What ``predict`` is given for one thing that the model reads.

    Attributes:
        name: of the parameter.
        kind: its type.
        what: in a comment.
        feeds: the graph's inputs that are made of it, ``name to value`` each.
        row: a class that it needs.
        shape: of a raw sample, a constant's name and sizes, where it is an array.
    """

    name: str
    kind: str
    what: str
    feeds: tuple[str, ...]
    row: str = ""
    shape: tuple[str, str] | None = None


def kotlin_types(manifest: Manifest) -> str:
    """``Kit.kt``: what the model answers, what a sample of it is, and how it is opened."""
    names = identifiers((task.name for task in manifest.tasks), _RESERVED)
    answers = "".join(
        f"    val {names[task.name]}: {type(task).__name__} "
        f"get() = byTask.getValue({_text(task.name)}) as {type(task).__name__}\n"
        for task in manifest.tasks
    )
    return f"{_HEAD}{answers}}}\n{_samples(manifest)}"


def _samples(manifest: Manifest) -> str:
    read = arguments(manifest.inputs)
    names = identifiers((item.name for item in read), _RESERVED)
    alone = len(read) == 1
    found = [_argument(item, names[item.name], alone=alone) for item in read]
    parameters = ", ".join(f"{item.name}: {item.kind}" for item in found)
    feeds = ",\n            ".join(feed for item in found for feed in item.feeds)
    what = found[0].what if alone else "Samples of each input"
    shapes = "".join(
        "\n    /** The shape of a raw sample; null where a size is open. */\n"
        f"    val {constant}: List<Int?> = listOf({sizes})\n"
        for constant, sizes in (item.shape for item in found if item.shape is not None)
    )
    encoded = found[0].kind != "NdArray" and len(manifest.inputs) == 1
    already = (
        "\n    /** Encoded samples `(N, ...)` -> their answers; see [Model.predict]. */\n"
        "    fun predict(raw: NdArray): List<Answers> = "
        f"model.predict(mapOf({_text(manifest.inputs[0].name)} to raw)).map(::Answers)\n"
    )
    return (
        "".join(item.row for item in found)
        + _KIT
        + (already if encoded else "")
        + f"\n    /** {what} -> their answers; see [Model.predict]. */\n"
        + f"    fun predict({parameters}): List<Answers> =\n"
        f"        model.predict(mapOf(\n            {feeds},\n        )).map(::Answers)\n{shapes}}}\n"
    )


def _argument(item: Argument, name: str, *, alone: bool) -> _Argument:
    if isinstance(item, RowsInGraph):
        steps = {item.texts_input: "RawCategories"}
        if item.numbers_input is not None:
            steps = {item.numbers_input: "RawNumbers", **steps}
        return _rows(cells_of(item), steps, name, alone=alone)
    match item.preprocessing:
        case Table() as table:
            return _rows(cells_of(table), {item.name: "Table"}, name, alone=alone)
        case Tokens():
            parameter = "texts" if alone else name
            feed = f"{_text(item.name)} to (model.steps({_text(item.name)}) as Tokens).encode({parameter})"
            return _Argument(parameter, "List<String?>", "Texts", (feed,))
        case _:
            parameter = "raw" if alone else name
            sizes = ", ".join(str(size) if isinstance(size, int) else "null" for size in item.shape[1:])
            shape = ("sampleShape" if alone else f"{name}Shape", sizes)
            feed = f"{_text(item.name)} to {parameter}"
            return _Argument(parameter, "NdArray", "Raw samples `(N, ...)`", (feed,), shape=shape)


def _rows(columns: Sequence[tuple[str, bool]], steps: Mapping[str, str], name: str, *, alone: bool) -> _Argument:
    """Rows of a table: the names of columns and whether they are categories; input -> what encodes them for it."""
    parameter, row = ("rows", "Row") if alone else (name, row_type(name))
    wide = len(columns) > _MOST_FIELDS
    maps = parameter if wide else f"{parameter}.map {{ it.toMap() }}"
    feeds = tuple(
        f"{_text(source)} to (model.steps({_text(source)}) as {encoder}).encode({maps})"
        for source, encoder in steps.items()
    )
    if wide:
        return _Argument(parameter, "List<Map<String, Any?>>", "Rows", feeds)
    names = identifiers((column for column, _ in columns), _RESERVED)
    fields = "".join(f"    val {names[column]}: {'Any' if texts else 'Number'}?,\n" for column, texts in columns)
    cells = ", ".join(f"{_text(column)} to {names[column]}" for column, _ in columns)
    made = (
        "\n/** A row; null where a value is missing. */\n"
        f"class {row}(\n{fields}) {{\n"
        f"    internal fun toMap(): Map<String, Any?> = mapOf({cells})\n}}\n"
    )
    return _Argument(parameter, f"List<{row}>", "Rows", feeds, row=made)


def _text(value: str) -> str:
    """A string literal in which nothing is interpolated; JSON's escapes are Kotlin's, but for two."""
    return json.dumps(value).replace("$", "\\$").replace("\\f", "\\u000c")
