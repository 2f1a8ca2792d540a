// Typed arrays by numpy's names of their dtypes, and shapes as people write them.

/** @import { NdArray, Texts, TypedArray } from "./index.d.ts" */

/** @type {Readonly<Record<string, { new (size: number): TypedArray; new (buffer: ArrayBuffer): TypedArray }>>} */
export const ARRAYS = {
  bool: Uint8Array,
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  uint64: BigUint64Array,
  int64: BigInt64Array,
  float32: Float32Array,
  float64: Float64Array,
};

/** @param {readonly number[]} shape */
export const sizeOf = (shape) => shape.reduce((product, size) => product * size, 1);

/** @param {readonly (number | string)[]} shape */
export const shown = (shape) => `(${shape.join(", ")})`;

/**
 * The dtype of an array as numpy calls it.
 * @param {unknown} data
 */
export function dtypeOf(data) {
  if (Array.isArray(data) && data.every((value) => typeof value === "string")) return "string";
  const found = Object.entries(ARRAYS).find(([name, type]) => name !== "bool" && data instanceof type);
  return found?.[0] ?? (data === null ? "null" : typeof data);
}

/**
 * @param {unknown} value
 * @returns {value is NdArray}
 */
export function isNdArray(value) {
  return typeof value === "object" && value !== null && ArrayBuffer.isView(/** @type {any} */ (value).data)
    && Array.isArray(/** @type {any} */ (value).shape);
}

/**
 * Position -> index along each axis, in C order.
 * @param {number} position
 * @param {readonly number[]} shape
 */
export function indexOf(position, shape) {
  const index = [];
  for (const size of [...shape].reverse()) {
    index.unshift(position % size);
    position = Math.floor(position / size);
  }
  return index;
}
