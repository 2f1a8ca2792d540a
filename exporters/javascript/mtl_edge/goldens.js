// Golden vectors: what the model answered where it was exported, to compare with what it answers here.

import { ARRAYS, dtypeOf, indexOf, shown, sizeOf } from "./arrays.js";
import { ModelFileError } from "./errors.js";

/** @import { NdArray, Texts } from "./index.d.ts" */
/** @typedef {{ name: string, dtype: string, shape: number[], file: string, atol?: number }} Entry */
/** @typedef {{ raw: Entry[], inputs: Entry[], outputs: Entry[] }} Case */
/** @typedef {(file: string) => Promise<Uint8Array>} Read */

/**
 * The golden vectors' cases, once they are known to be of this model.
 * @param {Read} read
 * @param {string} sha256
 * @returns {Promise<Case[]>}
 */
export async function goldenCases(read, sha256) {
  const listed = await attempt(async () => JSON.parse(new TextDecoder().decode(await read("goldens.json"))));
  if (listed?.model_sha256 !== sha256 || !listed.cases?.length) {
    throw new ModelFileError(`goldens: must be of the model ${sha256}, found ${listed?.model_sha256}`);
  }
  return listed.cases;
}

/**
 * An array of raw little-endian values in C order, as the processors of today hold them.
 * @param {Read} read
 * @param {Entry} entry
 * @returns {Promise<NdArray | Texts>}
 */
export async function goldenArray(read, { file, dtype, shape }) {
  return attempt(async () => {
    const type = ARRAYS[dtype];
    if ((type === undefined && dtype !== "string") || !/^[\w-]+\.bin$/.test(file)) throw new Error(`${file} of ${dtype}`);
    const bytes = await read(file);
    const data = type === undefined
      ? new TextDecoder().decode(bytes).split("\0").slice(0, -1) // a zero byte behind each text
      : new type(/** @type {ArrayBuffer} */ (bytes.slice().buffer));
    if (data.length !== sizeOf(shape)) throw new Error(`${file} must be ${shown(shape)}, found ${data.length} values`);
    return /** @type {NdArray | Texts} */ ({ data, shape });
  });
}

/**
 * Both arrays are equal but for the tolerance; NaN, where both have it, is equal.
 * @param {string} place
 * @param {NdArray | Texts} found
 * @param {NdArray | Texts} expected
 * @param {number} tolerance
 */
export function compare(place, found, expected, tolerance) {
  const wanted = `${dtypeOf(expected.data)} ${shown(expected.shape)}`;
  const got = `${dtypeOf(found.data)} ${shown(found.shape)}`;
  if (got !== wanted) throw new ModelFileError(`${place}: must be ${wanted}, found ${got}`);
  let worst = -1, largest = tolerance;
  for (let at = 0; at < expected.data.length; at++) {
    if (found.data[at] === expected.data[at]) continue;
    const a = Number(found.data[at]), b = Number(expected.data[at]);
    if (Object.is(a, b) && typeof found.data[at] !== "string") continue;
    const apart = Math.abs(a - b);
    if (apart > largest || typeof found.data[at] === "string" || (Number.isNaN(apart) && a !== b)) {
      worst = at;
      largest = Number.isNaN(apart) ? Infinity : apart;
    }
  }
  if (worst >= 0) {
    const index = shown(indexOf(worst, expected.shape));
    const values = `${expected.data[worst]} at ${index}, found ${found.data[worst]}`;
    throw new ModelFileError(`${place}: must be within ${tolerance} of ${values}`);
  }
}

/**
 * @template T
 * @param {() => Promise<T>} step
 * @returns {Promise<T>}
 */
async function attempt(step) {
  try {
    return await step();
  } catch (error) {
    throw new ModelFileError(`goldens: cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}
