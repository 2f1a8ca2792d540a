"""Kotlin's view of one model: its tasks and samples by name, so that a misspelt one does not compile."""

import json

from mtl_edge.artifact import Manifest
from mtl_edge.kits.identifiers import identifiers
from mtl_edge.preprocessing import CategoricalColumn, Table, Tokens

KOTLIN_FILE = "mtl_edge/src/main/kotlin/mtledge/Kit.kt"

_KEYWORDS = """
as break class continue do else false for fun if in interface is null object package return super this throw true try
typealias typeof val var when while
"""
_RESERVED = frozenset([*_KEYWORDS.split(), "byTask", "toMap"])
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
        this(Model(manifest, OrtNetwork(content, manifest.inputName, threads)))

    /** Compare what this device answers with the golden vectors; see [Model.selfCheck]. */
    fun selfCheck(read: (String) -> ByteArray): Int = model.selfCheck(read)

    /** Raw samples `(N, ...)` -> their answers; see [Model.predict]. */
    fun predict(raw: NdArray): List<Answers> = model.predict(raw).map(::Answers)
"""


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
    source = manifest.inputs[0]
    match source.preprocessing:
        case Table(columns=columns) if len(columns) > _MOST_FIELDS:
            return f"{_KIT}{_predict('rows: List<Map<String, Any?>>', 'Rows', 'Table', 'rows')}}}\n"
        case Table(columns=columns):
            names = identifiers((column.name for column in columns), _RESERVED)
            fields = "".join(
                f"    val {names[column.name]}: {'Any' if isinstance(column, CategoricalColumn) else 'Number'}?,\n"
                for column in columns
            )
            cells = ", ".join(f"{_text(column.name)} to {names[column.name]}" for column in columns)
            row = (
                "\n/** A row; null where a value is missing. */\n"
                f"class Row(\n{fields}) {{\n"
                f"    internal fun toMap(): Map<String, Any?> = mapOf({cells})\n}}\n"
            )
            predict = _predict("rows: List<Row>", "Rows", "Table", "rows.map { it.toMap() }")
            return f"{row}{_KIT}{predict}}}\n"
        case Tokens():
            predict = _predict("texts: List<String?>", "Texts", "Tokens", "texts")
            return f"{_KIT}{predict}}}\n"
        case _:
            sizes = ", ".join(str(size) if isinstance(size, int) else "null" for size in source.shape[1:])
            shape = (
                "\n    /** The shape of a raw sample; null where a size is open. */\n"
                f"    val sampleShape: List<Int?> = listOf({sizes})\n"
            )
            return f"{_KIT}{shape}}}\n"


def _predict(parameter: str, what: str, steps: str, samples: str) -> str:
    return (
        f"\n    /** {what} -> their answers. */\n"
        f'    @JvmName("predict{what}")\n'
        f"    fun predict({parameter}): List<Answers> =\n"
        f"        predict((model.manifest.preprocessing as {steps}).encode({samples}))\n"
    )


def _text(value: str) -> str:
    """A string literal in which nothing is interpolated; JSON's escapes are Kotlin's, but for two."""
    return json.dumps(value).replace("$", "\\$").replace("\\f", "\\u000c")
