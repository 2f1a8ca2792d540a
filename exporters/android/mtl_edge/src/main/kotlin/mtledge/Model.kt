package mtledge

private const val INPUT_TOLERANCE = 1e-5

/** Computes the network's outputs, by name, from its input. */
fun interface Network : AutoCloseable {
    fun run(input: NdArray): Map<String, NdArray>

    override fun close() = Unit
}

/** A model that is verified. The calls of one model must not overlap in time. */
class Model(val manifest: Manifest, private val network: Network) : AutoCloseable by network {
    init {
        for (task in manifest.tasks) {
            if (task.kind !in KINDS) {
                throw ModelFileException("task '${task.name}': kind must be one of ${KINDS.joinToString()}, found ${task.kind}")
            }
        }
    }

    /** The dtype of raw samples. */
    val rawDtype: String = when (val steps = manifest.preprocessing) {
        is Pixels -> steps.rawDtype
        is RawPixels -> steps.rawDtype
        is Table -> "float32"
        is Tokens -> "int64"
    }

    /**
     * Raw samples `(N, …)` -> for each of them, task name -> answer.
     *
     * @throws SampleException the samples are not what the model reads
     */
    fun predict(raw: NdArray): List<Map<String, Answer>> {
        val input = preprocess(raw)
        if (input.shape[0] == 0) return emptyList()
        val outputs = network.run(input)
        val columns = manifest.tasks.map { decode(it.kind, outputs.getValue(it.name)) }
        return List(input.shape[0]) { row -> manifest.tasks.indices.associate { manifest.tasks[it].name to columns[it][row] } }
    }

    /** Raw samples -> the network's input. */
    fun preprocess(raw: NdArray): NdArray {
        val wanted = manifest.shape
        if (raw.dtype != rawDtype) throw SampleException("${manifest.inputName}: dtype must be $rawDtype, found ${raw.dtype}")
        if (raw.shape.size != wanted.size || raw.shape.zip(wanted).any { (found, size) -> size != null && found != size }) {
            throw SampleException("${manifest.inputName}: shape must be ${wanted.map { it ?: "any" }}, found ${raw.shape}")
        }
        val steps = manifest.preprocessing
        return if (steps is Pixels) steps.apply(raw) else raw
    }

    /**
     * Compare what this device answers with the golden vectors; do so once before you trust it. Gives their number.
     *
     * @param read gives a file of the golden vectors, by its name
     * @throws ModelFileException they cannot be read, are another model's, or an answer is off; the worst is named
     */
    fun selfCheck(read: (String) -> ByteArray): Int {
        val cases = goldenCases(read, manifest.sha256)
        cases.forEachIndexed { number, case ->
            val place = "goldens: case $number"
            val input = preprocess(case.raw.load(read))
            compare("$place: input '${manifest.inputName}'", input, case.input.load(read), INPUT_TOLERANCE)
            val outputs = network.run(input)
            for (entry in case.outputs) {
                val found = outputs[entry.name] ?: throw ModelFileException("$place: the model must have an output '${entry.name}'")
                compare("$place: output '${entry.name}'", found, entry.load(read), entry.atol)
            }
        }
        return cases.size
    }

    /** The raw batch of a golden vector, to try the model with. */
    fun goldenSample(read: (String) -> ByteArray, index: Int): NdArray = goldenCases(read, manifest.sha256)[index].raw.load(read)
}
