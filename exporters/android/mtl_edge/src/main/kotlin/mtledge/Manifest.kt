package mtledge

import java.security.MessageDigest
import java.util.Locale

private const val KEY = "mtl_edge.manifest"
private const val FORMAT = 1.0
private const val DIGITS = 64
private const val METADATA_PROPS = 14L // the field of ONNX's ModelProto

/** A task's name is that of its output. */
class Task(val name: String, val kind: String)

/** An input of the graph; a size that is null in [shape] is the caller's choice. */
class Input(val name: String, val shape: List<Int?>, val preprocessing: Preprocessing)

/** What the client reads of a model's manifest. */
class Manifest(
    val name: String,
    val variant: String,
    val sha256: String,
    val tasks: List<Task>,
    val inputs: List<Input>,
)

/**
 * The manifest of a model whose file has the SHA-256 that its manifest states; no runtime has seen the file yet.
 *
 * @throws ModelFileException it has no manifest, or was changed after export
 */
fun verifiedManifest(content: ByteArray, place: String = "model.onnx"): Manifest {
    val text = manifestText(content)
        ?: throw ModelFileException("$place: must end with mtl-edge's manifest, found none: was it made by mtl-edge?")
    val fields = understood(place) { parseJson(text) as Map<*, *> }
    if (fields["format"] != FORMAT) {
        throw ModelFileException("$place: the manifest's format must be 1, found ${fields["format"]}: update this client")
    }
    val manifest = understood(place) { manifestOf(fields) }
    val digest = MessageDigest.getInstance("SHA-256")
    digest.update(content, 0, content.size - DIGITS - 2)
    digest.update(content, content.size - 2, 2)
    val found = digest.digest().joinToString("") { "%02x".format(Locale.ROOT, it) }
    if (found != manifest.sha256) {
        throw ModelFileException("$place: the file was changed after export: SHA-256 must be ${manifest.sha256}, found $found")
    }
    return manifest
}

private fun manifestOf(fields: Map<*, *>) = Manifest(
    name = fields["name"] as String,
    variant = fields["variant"] as String,
    sha256 = fields["sha256"] as String,
    tasks = (fields["tasks"] as List<*>).map { (it as Map<*, *>).let { task -> Task(task["name"] as String, task["kind"] as String) } },
    inputs = (fields["inputs"] as List<*>).map { inputOf(it as Map<*, *>) },
)

private fun inputOf(input: Map<*, *>) = Input(
    name = input["name"] as String,
    shape = (input["shape"] as List<*>).map { (it as? Double)?.toInt() },
    preprocessing = preprocessingOf(input["preprocessing"] as Map<*, *>),
)

/** What goes wrong while a manifest is read is its own fault. */
internal fun <T> understood(place: String, step: () -> T): T = try {
    step()
} catch (error: RuntimeException) { // a cast, a missing item
    throw ModelFileException("$place: cannot be understood: ${error.message}")
}

/** The last metadata entry of a model in protobuf's wire format, if it is the manifest and ends the file. */
private fun manifestText(content: ByteArray): String? {
    val (field, entry) = fieldsOf(content, 0, content.size)?.lastOrNull() ?: return null
    if (field != METADATA_PROPS) return null
    val parts = fieldsOf(content, entry.first, entry.last + 1)?.map { (_, range) -> String(content, range.first, range.count(), Charsets.UTF_8) }
    return parts?.takeIf { it.size == 2 && it[0] == KEY }?.get(1)
}

/** The fields of a protobuf message: number and where the content is; null for what is none. */
private fun fieldsOf(content: ByteArray, start: Int, end: Int): List<Pair<Long, IntRange>>? {
    val found = ArrayList<Pair<Long, IntRange>>()
    var at = start
    fun varint(): Long {
        var value = 0L
        var shift = 0
        while (at < end && shift < 64) {
            val byte = content[at++].toLong()
            value = value or ((byte and 0x7f) shl shift)
            if (byte >= 0) return value
            shift += 7
        }
        return -1
    }
    while (at < end) {
        val tag = varint()
        val length = when ((tag and 7).toInt()) {
            0 -> 0L.also { varint() }
            1 -> 8L
            2 -> varint()
            5 -> 4L
            else -> -1L
        }
        if (tag < 0 || length < 0 || length > end - at) return null
        found.add(tag.ushr(3) to (at until at + length.toInt()))
        at += length.toInt()
    }
    return found
}
