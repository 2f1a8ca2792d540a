package mtledge

import kotlin.math.abs

/** An array of a golden vector: raw little-endian values in C order, in a file of its own. */
internal class GoldenArray(val name: String, val dtype: String, val shape: List<Int>, val file: String, val atol: Double) {
    fun load(read: (String) -> ByteArray): Tensor = attempt {
        when (dtype) {
            "string" -> Texts(String(read(file), Charsets.UTF_8).split('\u0000').dropLast(1), shape) // a zero byte behind each
            else -> NdArray.of(read(file), shape, dtype)
        }
    }
}

internal class GoldenCase(val raw: List<GoldenArray>, val inputs: List<GoldenArray>, val outputs: List<GoldenArray>)

/** The golden vectors, once they are known to be of this model. */
internal fun goldenCases(read: (String) -> ByteArray, sha256: String): List<GoldenCase> {
    val listed = attempt { parseJson(String(read("goldens.json"), Charsets.UTF_8)) as Map<*, *> }
    val cases = attempt {
        (listed["cases"] as List<*>).map { case ->
            fun part(name: String) = ((case as Map<*, *>)[name] as List<*>).map { goldenArray(it as Map<*, *>) }
            GoldenCase(part("raw"), part("inputs"), part("outputs"))
        }
    }
    if (listed["model_sha256"] != sha256 || cases.isEmpty()) {
        throw ModelFileException("goldens: must be of the model $sha256, found ${listed["model_sha256"]}")
    }
    return cases
}

/** Both arrays are equal but for the tolerance; NaN, where both have it, is equal. */
internal fun compare(place: String, found: Tensor, expected: Tensor, tolerance: Double) {
    if (found.shape != expected.shape || found.dtype != expected.dtype) {
        throw ModelFileException("$place: must be ${expected.dtype} ${expected.shape}, found ${found.dtype} ${found.shape}")
    }
    if (found !is NdArray || expected !is NdArray) {
        if ((found as Texts).values != (expected as Texts).values) throw ModelFileException("$place: must be the texts of the golden vector")
        return
    }
    val apart = DoubleArray(expected.size) { at ->
        val (a, b) = found.number(at) to expected.number(at)
        if (a == b || (a.isNaN() && b.isNaN())) 0.0 else abs(a - b).let { if (it.isNaN()) Double.POSITIVE_INFINITY else it }
    }
    val worst = apart.indices.maxByOrNull { apart[it] } ?: return
    if (apart[worst] > tolerance) {
        val (wanted, got) = expected.number(worst) to found.number(worst)
        throw ModelFileException("$place: must be within $tolerance of $wanted at ${indexOf(worst, expected.shape)}, found $got")
    }
}

private fun goldenArray(entry: Map<*, *>) = GoldenArray(
    name = entry["name"] as String,
    dtype = entry["dtype"] as String,
    shape = (entry["shape"] as List<*>).map { (it as Double).toInt() },
    file = (entry["file"] as String).also { require(it.matches(Regex("[\\w-]+\\.bin"))) { "must be a file's name, found $it" } },
    atol = entry["atol"] as Double? ?: 0.0,
)

private fun indexOf(position: Int, shape: List<Int>): List<Int> {
    var rest = position
    return shape.reversed().map { length -> (rest % length).also { rest /= length } }.reversed()
}

private fun <T> attempt(step: () -> T): T = try {
    step()
} catch (error: ModelFileException) {
    throw error
} catch (error: Exception) {
    throw ModelFileException("goldens: cannot be read: ${error.message}")
}
