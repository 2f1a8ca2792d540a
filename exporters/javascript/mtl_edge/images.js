// Images of any size -> samples, by the arithmetic of Pillow, which read the training images.

/** @import { NdArray, Pixmap } from "./index.d.ts" */

const PRECISION = 22; // bits behind the point of a weight: 32 - 8 - 2

/**
 * An image as a raw sample `(channels, height, width)`: grey for one channel, else red, green, blue.
 *
 * Grey is the luma of ITU-R 601, alpha is ignored; the size is reached by bilinear weights over all pixels that count.
 * @param {Pixmap} image
 * @param {readonly [channels: number, height: number, width: number]} shape
 */
export function imageSample(image, [channels, height, width]) {
  if (channels !== 1 && channels !== 3) throw new RangeError(`channels must be 1 or 3, found ${channels}`);
  const sample = new Uint8Array(channels * height * width);
  for (let channel = 0; channel < channels; channel++) {
    const plane = channels === 1 ? luma(image) : image.data.filter((_, at) => at % 4 === channel);
    const narrow = resized(Uint8Array.from(plane), image.width, image.height, width);
    const turned = resized(transposed(narrow, width, image.height), image.height, width, height);
    sample.set(transposed(turned, height, width), channel * height * width);
  }
  return sample;
}

/**
 * An image of its own size as `(1, height, width, channels)`, for a graph that resizes by itself.
 * @param {Pixmap} image
 * @param {number} channels
 * @returns {NdArray}
 */
export function imageBytes(image, channels) {
  if (channels !== 1 && channels !== 3) throw new RangeError(`channels must be 1 or 3, found ${channels}`);
  const data = channels === 1 ? luma(image) : Uint8Array.from(image.data.filter((_, at) => at % 4 < 3));
  return { data, shape: [1, image.height, image.width, channels] };
}

/** @param {Pixmap} image */
function luma({ data, width, height }) {
  const grey = new Uint8Array(width * height);
  for (let pixel = 0; pixel < grey.length; pixel++) {
    const [red = 0, green = 0, blue = 0] = [data[4 * pixel], data[4 * pixel + 1], data[4 * pixel + 2]];
    grey[pixel] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
  }
  return grey;
}

/**
 * @param {Uint8Array} plane `(height, width)`
 * @param {number} width
 * @param {number} height
 */
function transposed(plane, width, height) {
  const turned = new Uint8Array(plane.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) turned[x * height + y] = plane[y * width + x] ?? 0;
  }
  return turned;
}

/**
 * A plane in another width.
 * @param {Uint8Array} plane `(height, width)`
 * @param {number} width
 * @param {number} height
 * @param {number} target
 */
function resized(plane, width, height, target) {
  if (width === target) return plane;
  const result = new Uint8Array(target * height);
  for (let x = 0; x < target; x++) {
    const { first, weights } = weightsOf(x, width / target, width);
    for (let y = 0; y < height; y++) {
      let sum = 1 << (PRECISION - 1);
      weights.forEach((weight, place) => { sum += weight * (plane[y * width + first + place] ?? 0); });
      result[y * target + x] = Math.min(Math.max(sum >> PRECISION, 0), 255);
    }
  }
  return result;
}

/**
 * Which pixels make up the pixel `x`, and their weights.
 * @param {number} x
 * @param {number} scale
 * @param {number} width
 */
function weightsOf(x, scale, width) {
  const center = (x + 0.5) * scale;
  const support = Math.max(scale, 1);
  const first = Math.max(Math.trunc(center - support + 0.5), 0);
  const end = Math.min(Math.trunc(center + support + 0.5), width);
  const shares = Array.from({ length: end - first }, (_, place) =>
    Math.max(1 - Math.abs((first + place - center + 0.5) / support), 0));
  const total = shares.reduce((a, b) => a + b, 0);
  return { first, weights: shares.map((share) => Math.trunc(0.5 + (share / total) * 2 ** PRECISION)) };
}
