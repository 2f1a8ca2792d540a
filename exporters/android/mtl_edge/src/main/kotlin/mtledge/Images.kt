package mtledge

import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min

private const val PRECISION = 22 // bits behind the point of a weight: 32 - 8 - 2

/**
 * An image of any size as a raw sample `(1, channels, height, width)`: grey for one channel, else red, green, blue.
 *
 * The arithmetic is that of Pillow, which read the training images: grey is the luma of ITU-R 601, alpha is ignored, and
 * the size is reached by bilinear weights over all pixels that count.
 *
 * @param argb the colours as `Bitmap.getPixels` gives them
 */
fun imageSample(argb: IntArray, width: Int, height: Int, shape: List<Int>): NdArray {
    val (channels, wantedHeight, wantedWidth) = shape
    require(channels == 1 || channels == 3) { "channels must be 1 or 3, found $channels" }
    val sample = NdArray.zeros("uint8", listOf(1) + shape)
    for (channel in 0 until channels) {
        val plane = IntArray(argb.size) { if (channels == 1) luma(argb[it]) else argb[it] shr (16 - 8 * channel) and 0xff }
        val narrow = resized(plane, width, height, wantedWidth)
        val turned = resized(transposed(narrow, wantedWidth, height), height, wantedWidth, wantedHeight)
        val start = channel * wantedHeight * wantedWidth
        transposed(turned, wantedHeight, wantedWidth).forEachIndexed { at, value -> sample.bytes.put(start + at, value.toByte()) }
    }
    return sample
}

/**
 * An image of its own size as `(1, height, width, channels)`, for a graph that resizes by itself.
 *
 * @param argb the colours as `Bitmap.getPixels` gives them
 */
fun imageBytes(argb: IntArray, width: Int, height: Int, channels: Int): NdArray {
    require(channels == 1 || channels == 3) { "channels must be 1 or 3, found $channels" }
    val found = NdArray.zeros("uint8", listOf(1, height, width, channels))
    for (at in 0 until found.size) {
        val colour = argb[at / channels]
        found.bytes.put(at, (if (channels == 1) luma(colour) else colour shr (16 - 8 * (at % 3))).toByte())
    }
    return found
}

private fun luma(colour: Int): Int {
    val red = colour shr 16 and 0xff
    val green = colour shr 8 and 0xff
    val blue = colour and 0xff
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) shr 16
}

private fun transposed(plane: IntArray, width: Int, height: Int): IntArray {
    val turned = IntArray(plane.size)
    for (y in 0 until height) for (x in 0 until width) turned[x * height + y] = plane[y * width + x]
    return turned
}

/** A plane `(height, width)` in another width. */
private fun resized(plane: IntArray, width: Int, height: Int, target: Int): IntArray {
    if (width == target) return plane
    val found = IntArray(target * height)
    for (x in 0 until target) {
        val (first, weights) = weightsOf(x, width.toDouble() / target, width)
        for (y in 0 until height) {
            var sum = 1 shl (PRECISION - 1)
            for (place in weights.indices) sum += weights[place] * plane[y * width + first + place]
            found[y * target + x] = min(max(sum shr PRECISION, 0), 255)
        }
    }
    return found
}

/** The first of the pixels that make up the pixel [x], and their weights. */
private fun weightsOf(x: Int, scale: Double, width: Int): Pair<Int, IntArray> {
    val center = (x + 0.5) * scale
    val support = max(scale, 1.0)
    val first = max((center - support + 0.5).toInt(), 0)
    val end = min((center + support + 0.5).toInt(), width)
    val shares = DoubleArray(end - first) { max(1 - abs((first + it - center + 0.5) / support), 0.0) }
    val total = shares.sum()
    return first to IntArray(shares.size) { (0.5 + shares[it] / total * (1 shl PRECISION)).toInt() }
}
