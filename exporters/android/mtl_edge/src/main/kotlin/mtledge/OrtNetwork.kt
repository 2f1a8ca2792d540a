package mtledge

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession

/** A network under ONNX Runtime, on the processor. */
class OrtNetwork(content: ByteArray, threads: Int) : Network {
    private val environment = OrtEnvironment.getEnvironment()
    private val session: OrtSession = try {
        OrtSession.SessionOptions().use { options ->
            options.setIntraOpNumThreads(threads)
            environment.createSession(content, options)
        }
    } catch (error: OrtException) {
        throw ModelFileException("ONNX Runtime cannot load the model: ${error.message}")
    }

    override fun run(inputs: Map<String, Tensor>): Map<String, NdArray> {
        val given = LinkedHashMap<String, OnnxTensor>()
        try {
            for ((name, tensor) in inputs) given[name] = native(tensor)
            return session.run(given).use { result ->
                result.associate { (name, value) -> name to copied(value as OnnxTensor) }
            }
        } finally {
            given.values.forEach(OnnxTensor::close)
        }
    }

    override fun close() = session.close()

    private fun native(tensor: Tensor): OnnxTensor {
        val shape = LongArray(tensor.shape.size) { tensor.shape[it].toLong() }
        return when (tensor) {
            is Texts -> OnnxTensor.createTensor(environment, tensor.values.toTypedArray(), shape)
            is NdArray -> numbers(tensor, shape)
        }
    }

    private fun numbers(array: NdArray, shape: LongArray): OnnxTensor = when (array.dtype) {
        "float32" -> OnnxTensor.createTensor(environment, array.bytes.asFloatBuffer(), shape)
        "int64" -> OnnxTensor.createTensor(environment, array.bytes.asLongBuffer(), shape)
        "uint8" -> OnnxTensor.createTensor(environment, array.bytes, shape, OnnxJavaType.UINT8)
        "int8" -> OnnxTensor.createTensor(environment, array.bytes, shape, OnnxJavaType.INT8)
        else -> throw SampleException("the graph must read float32, int64, uint8, int8 or texts, found ${array.dtype}")
    }

    private fun copied(tensor: OnnxTensor): NdArray {
        val shape = tensor.info.shape.map { it.toInt() }
        return when (val type = tensor.info.type) {
            OnnxJavaType.FLOAT -> NdArray.zeros("float32", shape).also { it.bytes.asFloatBuffer().put(tensor.floatBuffer) }
            OnnxJavaType.INT64 -> NdArray.zeros("int64", shape).also { it.bytes.asLongBuffer().put(tensor.longBuffer) }
            OnnxJavaType.INT32 -> NdArray.zeros("int32", shape).also { it.bytes.asIntBuffer().put(tensor.intBuffer) }
            OnnxJavaType.BOOL -> NdArray.zeros("bool", shape).also { it.bytes.duplicate().put(tensor.byteBuffer) }
            OnnxJavaType.UINT8 -> NdArray.zeros("uint8", shape).also { it.bytes.duplicate().put(tensor.byteBuffer) }
            else -> throw ModelFileException("outputs must be of a dtype that this client knows, found $type")
        }
    }
}
