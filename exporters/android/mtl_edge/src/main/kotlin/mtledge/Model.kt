package mtledge

private const val INPUT_TOLERANCE = 1e-5

/** Computes the network's outputs from its inputs, both by name. */
fun interface Network : AutoCloseable {
    fun run(inputs: Map<String, Tensor>): Map<String, NdArray>

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

    /**
     * Raw samples `(N, …)` of each input, by its name -> for each sample, task name -> answer.
     *
     * @throws SampleException the samples are not what the model reads
     */
    fun predict(raw: Map<String, Tensor>): List<Map<String, Answer>> {
        val inputs = preprocess(raw)
        val counts = inputs.mapValues { (_, tensor) -> tensor.shape[0] }
        val count = counts.values.first()
        if (counts.values.any { it != count }) throw SampleException("each input must have as many samples as the others, found $counts")
        if (count == 0) return emptyList()
        val outputs = network.run(inputs)
        val columns = manifest.tasks.map { decode(it.kind, outputs.getValue(it.name)) }
        return List(count) { row -> manifest.tasks.indices.associate { manifest.tasks[it].name to columns[it][row] } }
    }

    /** Raw samples of each input, by its name -> the network's inputs. */
    fun preprocess(raw: Map<String, Tensor>): Map<String, Tensor> = manifest.inputs.associate { input ->
        val given = raw[input.name] ?: throw SampleException("${input.name}: must be given, found ${raw.keys.joinToString()}")
        input.name to preprocessed(input, given)
    }

    /** What is done to raw samples of the input of this name. */
    fun steps(input: String): Preprocessing = manifest.inputs.first { it.name == input }.preprocessing

    private fun preprocessed(input: Input, raw: Tensor): Tensor {
        val (steps, wanted) = input.preprocessing to input.shape
        if (raw.dtype != steps.rawDtype) throw SampleException("${input.name}: dtype must be ${steps.rawDtype}, found ${raw.dtype}")
        if (raw.shape.size != wanted.size || raw.shape.zip(wanted).any { (found, size) -> size != null && found != size }) {
            throw SampleException("${input.name}: shape must be ${wanted.map { it ?: "any" }}, found ${raw.shape}")
        }
        return if (steps is Pixels && raw is NdArray) steps.apply(raw) else raw
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
            val inputs = preprocess(loaded(case.raw, read))
            for (entry in case.inputs) {
                val made = inputs[entry.name] ?: throw ModelFileException("$place: the model must have an input '${entry.name}'")
                compare("$place: input '${entry.name}'", made, entry.load(read), INPUT_TOLERANCE)
            }
            val outputs = network.run(inputs)
            for (entry in case.outputs) {
                val found = outputs[entry.name] ?: throw ModelFileException("$place: the model must have an output '${entry.name}'")
                compare("$place: output '${entry.name}'", found, entry.load(read), entry.atol)
            }
        }
        return cases.size
    }

    /** The raw batch of a golden vector, by the names of inputs, to try the model with. */
    fun goldenSample(read: (String) -> ByteArray, index: Int): Map<String, Tensor> =
        loaded(goldenCases(read, manifest.sha256)[index].raw, read)

    private fun loaded(arrays: List<GoldenArray>, read: (String) -> ByteArray) = arrays.associate { it.name to it.load(read) }
}
