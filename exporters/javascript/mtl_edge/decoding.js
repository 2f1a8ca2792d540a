// Outputs -> typed answers, one decoder for each kind of task.

import { sizeOf } from "./arrays.js";

/** @import { Answer, NdArray } from "./index.d.ts" */

/** @typedef {Float32Array | Float64Array} Floats */

/**
 * One sample's output `(width, …)` -> its answer.
 * @type {Readonly<Record<string, (values: Floats, shape: readonly number[]) => Answer>>}
 */
export const DECODERS = {
  multiclass(values) {
    const probabilities = softmax(values);
    const label = highest(values, 0, 1, values.length);
    return { kind: "multiclass", label, probability: probabilities[label] ?? NaN, probabilities };
  },
  binary(values) {
    const logit = values[0] ?? NaN;
    return { kind: "binary", yes: logit > 0, probability: sigmoid(logit) };
  },
  multilabel(values) {
    const labels = [...values.keys()].filter((label) => (values[label] ?? NaN) > 0);
    return { kind: "multilabel", labels, probabilities: Array.from(values, sigmoid) };
  },
  ordinal(values) {
    return { kind: "ordinal", rank: values.filter((logit) => logit > 0).length, above: Array.from(values, sigmoid) };
  },
  regression(values) {
    return { kind: "regression", value: values[0] ?? NaN };
  },
  segmentation(values, shape) {
    const [classes = 0, height = 0, width = 0] = shape;
    const pixels = height * width;
    const labels = classes <= 256 ? new Uint8Array(pixels) : new Uint16Array(pixels);
    for (let pixel = 0; pixel < pixels; pixel++) labels[pixel] = highest(values, pixel, pixels, classes);
    return { kind: "segmentation", classes, height, width, labels };
  },
  "dense-regression"(values, shape) {
    const [, height = 0, width = 0] = shape;
    return { kind: "dense-regression", height, width, values: Float32Array.from(values.subarray(0, height * width)) };
  },
};

/**
 * A batch's output `(N, width, …)` -> the answers of its samples.
 * @param {string} kind
 * @param {NdArray} output
 */
export function decode(kind, { data, shape }) {
  const [count = 0, ...inner] = shape;
  const size = sizeOf(inner);
  const values = /** @type {Floats} */ (data);
  const decoder = /** @type {NonNullable<(typeof DECODERS)[string]>} */ (DECODERS[kind]);
  return Array.from({ length: count }, (_, row) => decoder(values.subarray(row * size, (row + 1) * size), inner));
}

/**
 * Which of some values, a step apart, is the largest; the first of equals.
 * @param {Floats} values
 * @param {number} start
 * @param {number} step
 * @param {number} count
 */
function highest(values, start, step, count) {
  let best = 0;
  for (let place = 1; place < count; place++) {
    if ((values[start + place * step] ?? NaN) > (values[start + best * step] ?? NaN)) best = place;
  }
  return best;
}

/** @param {Floats} logits */
function softmax(logits) {
  const top = logits[highest(logits, 0, 1, logits.length)] ?? NaN;
  const weights = Array.from(logits, (logit) => Math.exp(logit - top));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}

/** @param {number} logit */
const sigmoid = (logit) => (logit < 0 ? Math.exp(logit) / (1 + Math.exp(logit)) : 1 / (1 + Math.exp(-logit)));
