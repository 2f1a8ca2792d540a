package mtledge

import java.util.Locale

/** What is done to raw samples before they enter the network; [rawDtype] is theirs. */
sealed interface Preprocessing {
    val rawDtype: String
}

/** Images, or other grids of numbers: `raw * scale / std - mean / std`, by channel, the second axis. */
class Pixels(override val rawDtype: String, scale: Double, mean: List<Double>, std: List<Double>) : Preprocessing {
    private val factors = std.map { scale.toFloat() / it.toFloat() }
    private val offsets = mean.zip(std) { middle, spread -> middle.toFloat() / spread.toFloat() }

    /** Raw `(N, C, …)` -> float32 of the same shape, rounded at each step as in training. */
    fun apply(raw: NdArray): NdArray {
        val found = NdArray.zeros("float32", raw.shape)
        val plane = raw.shape.drop(2).fold(1) { product, length -> product * length }
        for (at in 0 until raw.size) {
            val channel = at / plane % factors.size
            found.bytes.putFloat(4 * at, raw.number(at).toFloat() * factors[channel] - offsets[channel])
        }
        return found
    }
}

/** What the graph preprocesses by itself: images in the layout of its input, of the dtype that they come in. */
class RawPixels(override val rawDtype: String) : Preprocessing

/** Rows of a table: column name -> its categories, or null where it holds numbers. */
class Table(val columns: Map<String, List<String>?>) : Preprocessing {
    override val rawDtype: String = "float32"

    /**
     * Rows, column name -> value, as `(N, columns)`: numbers as they are, categories as 1, 2, …
     *
     * null, NaN and empty texts are missing; they, and categories that the model does not know, are allowed.
     */
    fun encode(rows: List<Map<String, Any?>>): NdArray {
        val found = NdArray.zeros("float32", listOf(rows.size, columns.size))
        columns.entries.forEachIndexed { position, (name, categories) ->
            val codes = categories?.withIndex()?.associate { (index, category) -> category to index + 1f }
            rows.forEachIndexed { index, row ->
                val value = cell(row, name, index)
                val encoded = if (codes == null) number(value, name, index) else codes[categoryOf(value)] ?: 0f
                found.bytes.putFloat(4 * (index * columns.size + position), encoded)
            }
        }
        return found
    }
}

/** The numbers of rows that the graph encodes, by the names of their columns. */
class RawNumbers(columns: List<String>) : Preprocessing {
    private val table = Table(columns.associateWith { null })

    override val rawDtype: String = "float32"

    /** Rows, column name -> value, as `(N, columns)`; NaN where one is missing. */
    fun encode(rows: List<Map<String, Any?>>): NdArray = table.encode(rows)
}

/** The categories of rows that the graph encodes, by the names of their columns. */
class RawCategories(val columns: List<String>) : Preprocessing {
    override val rawDtype: String = "string"

    /** Rows, column name -> value, as texts `(N, columns)`; an empty one where one is missing. */
    fun encode(rows: List<Map<String, Any?>>): Texts {
        val texts = rows.flatMapIndexed { index, row -> columns.map { categoryOf(cell(row, it, index)).orEmpty() } }
        return Texts(texts, listOf(rows.size, columns.size))
    }
}

private fun cell(row: Map<String, Any?>, name: String, index: Int): Any? {
    if (name !in row) throw SampleException("row $index: must have the column '$name', found ${row.keys.joinToString()}")
    return row[name]
}

/** Texts in lower case, cut into runs of `a-z0-9'`; ids begin with 2, 0 is padding and 1 any other word. */
class Tokens(vocabulary: List<String>, val length: Int) : Preprocessing {
    override val rawDtype: String = "int64"

    private val ids = vocabulary.withIndex().associate { (position, word) -> word to position + 2L }

    /** Texts -> ids `(N, length)`; words beyond are cut off, null is an empty text. */
    fun encode(texts: List<String?>): NdArray {
        val found = NdArray.zeros("int64", listOf(texts.size, length))
        texts.forEachIndexed { row, text ->
            val words = WORD.findAll(text.orEmpty().lowercase(Locale.ROOT)).take(length)
            words.forEachIndexed { column, word -> found.bytes.putLong(8 * (row * length + column), ids[word.value] ?: 1L) }
        }
        return found
    }

    private companion object {
        val WORD = Regex("[a-z0-9']+")
    }
}

internal fun preprocessingOf(steps: Map<*, *>): Preprocessing {
    fun numbers(key: String) = (steps[key] as List<*>).map { it as Double }
    return when (val kind = steps["kind"]) {
        "pixels" -> Pixels(steps["raw_dtype"] as String, steps["scale"] as Double, numbers("mean"), numbers("std"))
        "raw-pixels" -> RawPixels((steps["pixels"] as Map<*, *>)["raw_dtype"] as String)
        "table" -> Table(
            (steps["columns"] as List<*>).associate { column ->
                val fields = column as Map<*, *>
                fields["name"] as String to (fields["categories"] as List<*>?)?.map { it as String }
            },
        )
        "tokens" -> Tokens((steps["vocabulary"] as List<*>).map { it as String }, (steps["length"] as Double).toInt())
        "raw-numbers" -> RawNumbers((steps["columns"] as List<*>).map { it as String })
        "raw-categories" -> RawCategories((steps["columns"] as List<*>).map { (it as Map<*, *>)["name"] as String })
        else -> throw ModelFileException("preprocessing must be of pixels, a table, its numbers or categories, or tokens, found $kind")
    }
}
