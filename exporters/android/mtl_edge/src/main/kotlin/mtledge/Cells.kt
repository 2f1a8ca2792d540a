package mtledge

import java.math.BigDecimal
import kotlin.math.abs

private val NUMBER = Regex("""[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?""")
private val NOT_A_NUMBER = Regex("[+-]?nan", RegexOption.IGNORE_CASE)

/** A cell of a column of numbers; NaN where there is none. */
internal fun number(value: Any?, name: String, row: Int): Float {
    val found = when {
        value == null || value == "" -> Double.NaN
        value is Boolean -> if (value) 1.0 else 0.0
        value is Number -> value.toDouble()
        value is String && NOT_A_NUMBER.matches(value.trim()) -> Double.NaN
        value is String && NUMBER.matches(value.trim()) -> value.trim().toDouble()
        else -> Double.POSITIVE_INFINITY
    }
    if (abs(found) > Float.MAX_VALUE) throw SampleException("row $row: '$name' must be a finite number, found '$value'")
    return found.toFloat()
}

/** A category's name as Python writes it, since the model's categories were written so; null where there is none. */
internal fun categoryOf(value: Any?): String? = when (value) {
    null -> null
    is Boolean -> if (value) "True" else "False"
    is Float, is Double -> real((value as Number).toDouble(), value.toString())
    else -> value.toString()
}

private fun real(value: Double, shortest: String): String? = when {
    value.isNaN() -> null
    value.isInfinite() -> if (value > 0) "inf" else "-inf"
    else -> {
        val written = BigDecimal(shortest)
        when {
            value % 1 == 0.0 -> BigDecimal(value).toBigInteger().toString()
            abs(value) >= 1e-4 -> written.stripTrailingZeros().toPlainString()
            else -> scientific(written.stripTrailingZeros())
        }
    }
}

private fun scientific(value: BigDecimal): String {
    val digits = value.unscaledValue().abs().toString()
    val exponent = value.scale() - digits.length + 1
    val mantissa = if (digits.length > 1) "${digits[0]}.${digits.drop(1)}" else digits
    return "${if (value.signum() < 0) "-" else ""}${mantissa}e-${exponent.toString().padStart(2, '0')}"
}
