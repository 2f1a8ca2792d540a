package mtledge

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** What a graph reads: numbers or texts in C order; [dtype] is numpy's name of their type, `string` for texts. */
sealed interface Tensor {
    val dtype: String
    val shape: List<Int>
}

/** Texts, for a graph that looks them up by itself. */
class Texts(val values: List<String>, override val shape: List<Int>) : Tensor {
    override val dtype: String = "string"

    init {
        val size = shape.fold(1) { product, length -> product * length }
        if (values.size != size) throw SampleException("$shape is $size texts, found ${values.size}")
    }
}

/** Numbers, little-endian. */
class NdArray(override val dtype: String, override val shape: List<Int>, bytes: ByteBuffer) : Tensor {
    /** As native code reads it. */
    val bytes: ByteBuffer = bytes.order(ByteOrder.LITTLE_ENDIAN)
    val size: Int = shape.fold(1) { product, length -> product * length }

    init {
        val width = WIDTHS[dtype] ?: throw ModelFileException("dtype must be one of ${WIDTHS.keys}, found $dtype")
        if (bytes.capacity() != size * width) {
            throw SampleException("$shape of $dtype is ${size * width} bytes, found ${bytes.capacity()}")
        }
    }

    /** One value, by its position; exact but for 64-bit integers beyond 2^53. */
    fun number(at: Int): Double = when (dtype) {
        "bool", "uint8" -> (bytes.get(at).toInt() and 0xff).toDouble()
        "int8" -> bytes.get(at).toDouble()
        "uint16" -> (bytes.getShort(2 * at).toInt() and 0xffff).toDouble()
        "int16" -> bytes.getShort(2 * at).toDouble()
        "uint32" -> (bytes.getInt(4 * at).toLong() and 0xffffffffL).toDouble()
        "int32" -> bytes.getInt(4 * at).toDouble()
        "int64" -> bytes.getLong(8 * at).toDouble()
        "float32" -> bytes.getFloat(4 * at).toDouble()
        else -> bytes.getDouble(8 * at)
    }

    companion object {
        private val WIDTHS = mapOf(
            "bool" to 1, "uint8" to 1, "int8" to 1, "uint16" to 2, "int16" to 2, "uint32" to 4, "int32" to 4,
            "int64" to 8, "float32" to 4, "float64" to 8,
        )

        /** Zeros to be written to. */
        fun zeros(dtype: String, shape: List<Int>): NdArray {
            val width = WIDTHS[dtype] ?: throw ModelFileException("dtype must be one of ${WIDTHS.keys}, found $dtype")
            return NdArray(dtype, shape, ByteBuffer.allocateDirect(shape.fold(width) { product, length -> product * length }))
        }

        fun of(values: ByteArray, shape: List<Int>, dtype: String = "uint8"): NdArray =
            NdArray(dtype, shape, ByteBuffer.allocateDirect(values.size).apply { put(values) }.apply { rewind() })

        fun of(values: FloatArray, shape: List<Int>): NdArray =
            zeros("float32", shape).also { made -> values.forEachIndexed { at, value -> made.bytes.putFloat(4 * at, value) } }
    }
}
