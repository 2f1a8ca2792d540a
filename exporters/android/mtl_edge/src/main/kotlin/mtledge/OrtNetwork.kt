package mtledge

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession

/** A network under ONNX Runtime, on the processor. */
class OrtNetwork(content: ByteArray, private val input: String, threads: Int) : Network {
    private val environment = OrtEnvironment.getEnvironment()
    private val session: OrtSession = try {
        OrtSession.SessionOptions().use { options ->
            options.setIntraOpNumThreads(threads)
            environment.createSession(content, options)
        }
    } catch (error: OrtException) {
        throw ModelFileException("ONNX Runtime cannot load the model: ${error.message}")
    }

    override fun run(input: NdArray): Map<String, NdArray> = tensor(input).use { given ->
        session.run(mapOf(this.input to given)).use { result ->
            result.associate { (name, value) -> name to copied(value as OnnxTensor) }
        }
    }

    override fun close() = session.close()

    private fun tensor(array: NdArray): OnnxTensor {
        val shape = LongArray(array.shape.size) { array.shape[it].toLong() }
        return when (array.dtype) {
            "float32" -> OnnxTensor.createTensor(environment, array.bytes.asFloatBuffer(), shape)
            "int64" -> OnnxTensor.createTensor(environment, array.bytes.asLongBuffer(), shape)
            else -> throw SampleException("the network reads float32 or int64, found ${array.dtype}")
        }
    }

    private fun copied(tensor: OnnxTensor): NdArray {
        val shape = tensor.info.shape.map { it.toInt() }
        val values = tensor.floatBuffer ?: throw ModelFileException("outputs must be float32, found ${tensor.info.type}")
        return NdArray.of(FloatArray(values.remaining()).also { values.get(it) }, shape)
    }
}
