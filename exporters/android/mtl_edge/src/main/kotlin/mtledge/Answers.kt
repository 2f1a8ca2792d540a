package mtledge

import java.util.Locale
import kotlin.math.exp

/** What a model answers for one sample in one task. */
sealed interface Answer

/** The most probable class, and how probable the model holds each (softmax, 0 to 1). */
class Multiclass(val label: Int, val probabilities: List<Double>) : Answer {
    val probability: Double get() = probabilities[label]

    override fun toString() = "$label (${percent(probability)})"
}

/** Whether it is more probable than not, and how probable (sigmoid, 0 to 1). */
class Binary(val yes: Boolean, val probability: Double) : Answer {
    override fun toString() = "${if (yes) "yes" else "no"} (${percent(probability)})"
}

/** The classes that are more probable than not, and the probability of each class. */
class Multilabel(val labels: List<Int>, val probabilities: List<Double>) : Answer {
    override fun toString() = labels.joinToString(" + ") { "$it (${percent(probabilities[it])})" }.ifEmpty { "none" }
}

/** The class in the order of classes, and for each class but the last the probability of one above it. */
class Ordinal(val rank: Int, val above: List<Double>) : Answer {
    override fun toString() = "rank $rank of 0 to ${above.size}"
}

/** The value, in the unit of the labels that the model was trained on. */
class Regression(val value: Float) : Answer {
    override fun toString() = "$value"
}

/** The most probable of [classes] for each pixel, row by row. */
class Segmentation(val classes: Int, val height: Int, val width: Int, val labels: IntArray) : Answer {
    override fun toString() = "$height x $width pixels of ${labels.distinct().size} classes"
}

/** The value of each pixel, row by row, in the unit of the labels that the model was trained on. */
class DenseRegression(val height: Int, val width: Int, val values: FloatArray) : Answer {
    override fun toString() = "$height x $width pixels, ${values.min()} to ${values.max()}"
}

/** The kinds of tasks that [decode] knows. */
internal val KINDS = listOf("multiclass", "binary", "multilabel", "ordinal", "regression", "segmentation", "dense-regression")

/** A batch's output `(N, width, …)` -> the answers of its samples. */
internal fun decode(kind: String, output: NdArray): List<Answer> {
    val (width, height, across) = output.shape.drop(1) + listOf(1, 1)
    val size = output.size / maxOf(output.shape[0], 1)
    return List(output.shape[0]) { sample -> answer(kind, Part(output, sample * size, size), width, height, across) }
}

private class Part(private val array: NdArray, private val start: Int, val size: Int) {
    operator fun get(at: Int): Double = array.number(start + at)

    val all: List<Double> get() = List(size) { get(it) }
}

private fun answer(kind: String, logits: Part, width: Int, height: Int, across: Int): Answer {
    val pixels = height * across
    return when (kind) {
        "multiclass" -> Multiclass(highest(logits, 0, 1, width), softmax(logits.all))
        "binary" -> Binary(logits[0] > 0, sigmoid(logits[0]))
        "multilabel" -> Multilabel((0 until width).filter { logits[it] > 0 }, logits.all.map(::sigmoid))
        "ordinal" -> Ordinal(logits.all.count { it > 0 }, logits.all.map(::sigmoid))
        "regression" -> Regression(logits[0].toFloat())
        "segmentation" -> Segmentation(width, height, across, IntArray(pixels) { highest(logits, it, pixels, width) })
        else -> DenseRegression(height, across, FloatArray(pixels) { logits[it].toFloat() })
    }
}

/** Which of some values, a step apart, is the largest; the first of equals. */
private fun highest(values: Part, start: Int, step: Int, count: Int): Int {
    var best = 0
    for (place in 1 until count) {
        if (values[start + place * step] > values[start + best * step]) best = place
    }
    return best
}

private fun softmax(logits: List<Double>): List<Double> {
    val weights = logits.max().let { top -> logits.map { exp(it - top) } }
    val total = weights.sum()
    return weights.map { it / total }
}

private fun percent(share: Double): String = String.format(Locale.ROOT, "%.1f %%", 100 * share)

private fun sigmoid(logit: Double): Double = if (logit < 0) exp(logit) / (1 + exp(logit)) else 1 / (1 + exp(-logit))
