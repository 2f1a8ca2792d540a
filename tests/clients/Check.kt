// What the Kotlin client makes of kits on a JVM, as JSON. The runtime for Android does not load here: golden outputs
// stand in for it, so that all but the network itself is tried.

import java.io.File
import mtledge.Answer
import mtledge.Binary
import mtledge.DenseRegression
import mtledge.Input
import mtledge.Model
import mtledge.Multiclass
import mtledge.Multilabel
import mtledge.NdArray
import mtledge.Network
import mtledge.Ordinal
import mtledge.RawCategories
import mtledge.RawNumbers
import mtledge.Regression
import mtledge.Segmentation
import mtledge.Table
import mtledge.Tensor
import mtledge.Texts
import mtledge.Tokens
import mtledge.imageBytes
import mtledge.imageSample
import mtledge.parseJson
import mtledge.verifiedManifest

/** Each argument is a kit's folder, and after a `:` the folder of golden vectors to check with. */
fun main(arguments: Array<String>) = println(
    json(
        arguments.associate { argument ->
            val (kit, goldens) = argument.split(":")
            argument to attempt { checked(File(kit), File(goldens)) }
        },
    ),
)

private fun checked(kit: File, goldens: File): Map<String, Any?> {
    val recorded = recordedRuns(File(kit, "goldens"))
    val manifest = verifiedManifest(File(kit, "model.onnx").readBytes())
    val answered = recorded.toMap()
    val model = Model(manifest, Network { inputs -> answered.getValue(contentOf(inputs)) })
    val read = { file: String -> File(goldens, file).readBytes() }
    val request = parseJson(File(kit, "request.json").readText()) as Map<*, *>
    return mapOf(
        "check" to attempt { model.selfCheck(read) },
        "answers" to recorded.indices.map { model.predict(model.goldenSample({ File(kit, "goldens/$it").readBytes() }, it)).map(::readable) },
        "encoded" to request["samples"]?.let { plain(encoded(model, it)) },
        "wrong" to (request["wrong"] as List<*>?)?.map { samples -> attempt { plain(encoded(model, samples)) } },
        "images" to (request["images"] as List<*>?)?.map { numbers(picture(it as Map<*, *>) { colours, width, height, shape -> imageSample(colours, width, height, shape) }) },
        "bytes" to (request["images"] as List<*>?)?.map { numbers(picture(it as Map<*, *>) { colours, width, height, shape -> imageBytes(colours, width, height, shape[0]) }) },
    )
}

private fun recordedRuns(goldens: File): List<Pair<Map<String, Any>, Map<String, NdArray>>> {
    val listed = parseJson(File(goldens, "goldens.json").readText()) as Map<*, *>
    return (listed["cases"] as List<*>).map { case ->
        fun arrays(part: String) = ((case as Map<*, *>)[part] as List<*>).map { entry ->
            val fields = entry as Map<*, *>
            val shape = (fields["shape"] as List<*>).map { (it as Double).toInt() }
            val content = File(goldens, fields["file"] as String).readBytes()
            val tensor = when (val dtype = fields["dtype"] as String) {
                "string" -> Texts(String(content, Charsets.UTF_8).removeSuffix("\u0000").split('\u0000'), shape)
                else -> NdArray.of(content, shape, dtype)
            }
            fields["name"] as String to tensor
        }
        contentOf(arrays("inputs").toMap()) to arrays("outputs").associate { (name, tensor) -> name to tensor as NdArray }
    }
}

private fun contentOf(tensors: Map<String, Tensor>): Map<String, Any> = tensors.mapValues { (_, tensor) ->
    when (tensor) {
        is NdArray -> tensor.bytes.duplicate().apply { rewind() }
        is Texts -> tensor.values
    }
}

/** Samples, those of each input by its name where there are several. */
private fun encoded(model: Model, samples: Any?): Map<String, Tensor> = model.preprocess(
    when (samples) {
        is Map<*, *> -> model.manifest.inputs.filter { it.name in samples }.associate { it.name to encoded(it, samples[it.name] as List<*>) }
        else -> model.manifest.inputs.associate { it.name to encoded(it, samples as List<*>) }
    },
)

@Suppress("UNCHECKED_CAST")
private fun encoded(input: Input, samples: List<*>): Tensor = when (val steps = input.preprocessing) {
    is Table -> steps.encode(samples as List<Map<String, Any?>>)
    is RawNumbers -> steps.encode(samples as List<Map<String, Any?>>)
    is RawCategories -> steps.encode(samples as List<Map<String, Any?>>)
    is Tokens -> steps.encode(samples as List<String?>)
    else -> if (input.name == "image") pixels(input, samples as List<List<Double>>) else NdArray.of(FloatArray(1), listOf(1))
}

private fun pixels(input: Input, samples: List<List<Double>>): NdArray =
    NdArray.of(samples.flatten().map { it.toInt().toByte() }.toByteArray(), listOf(samples.size) + input.shape.drop(1).map { it!! })

private fun plain(tensors: Map<String, Tensor>): Map<String, List<Any>> = tensors.mapValues { (_, tensor) ->
    when (tensor) {
        is NdArray -> numbers(tensor)
        is Texts -> tensor.values
    }
}

private fun picture(request: Map<*, *>, read: (IntArray, Int, Int, List<Int>) -> NdArray): NdArray {
    fun ints(key: String) = (request[key] as List<*>).map { (it as Double).toInt() }
    val argb = ints("data").chunked(4) { (red, green, blue, alpha) -> alpha shl 24 or (red shl 16) or (green shl 8) or blue }
    return read(argb.toIntArray(), (request["width"] as Double).toInt(), (request["height"] as Double).toInt(), ints("shape"))
}

private fun numbers(array: NdArray): List<Double> = List(array.size, array::number)

private fun readable(answers: Map<String, Answer>): Map<String, Any?> = answers.mapValues { (_, answer) ->
    when (answer) {
        is Multiclass -> mapOf("label" to answer.label, "probability" to answer.probability)
        is Binary -> mapOf("yes" to answer.yes, "probability" to answer.probability)
        is Multilabel -> mapOf("labels" to answer.labels, "probabilities" to answer.probabilities)
        is Ordinal -> mapOf("rank" to answer.rank, "above" to answer.above)
        is Regression -> mapOf("value" to answer.value)
        is Segmentation -> mapOf("labels" to answer.labels.toList())
        is DenseRegression -> mapOf("values" to answer.values.toList())
    }
}

private fun attempt(step: () -> Any?): Any? = try {
    step()
} catch (error: Exception) {
    "${error::class.simpleName}: ${error.message}"
}

private fun json(value: Any?): String = when (value) {
    is Map<*, *> -> value.entries.joinToString(",", "{", "}") { (key, entry) -> "${json(key)}:${json(entry)}" }
    is List<*> -> value.joinToString(",", "[", "]", transform = ::json)
    is Number -> if (value.toDouble().isFinite()) value.toString() else "\"$value\""
    is Boolean, null -> value.toString()
    else -> value.toString().map { if (it.code in 32..126 && it !in "\"\\") "$it" else "\\u%04x".format(it.code) }.joinToString("", "\"", "\"")
}
