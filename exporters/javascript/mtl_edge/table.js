// Rows of a table -> numbers, and categories by their position.

import { SampleError } from "./errors.js";

/** @import { NdArray, Texts } from "./index.d.ts" */
/** @import { RawRowsSteps, TableSteps } from "./manifest_types.d.ts" */

const LARGEST = 3.4028234663852886e38; // that float32 holds

/**
 * Rows, column name -> value, as `(N, columns)`: numbers as they are, categories as 1, 2, …
 *
 * null, undefined, NaN and empty texts are missing; they, and categories that the model does not know, are allowed.
 * @param {TableSteps} steps
 * @param {readonly unknown[]} rows
 * @returns {NdArray}
 */
export function encodeTable({ columns }, rows) {
  const data = new Float32Array(rows.length * columns.length);
  columns.forEach(({ name, type, categories }, position) => {
    /** @type {Map<string | null, number>} */
    const codes = new Map((categories ?? []).map((category, index) => [category, index + 1]));
    rows.forEach((row, index) => {
      const value = cell(row, name, index);
      data[index * columns.length + position] =
        type === "numeric" ? number(value, name, index) : codes.get(categoryOf(value)) ?? 0;
    });
  });
  return { data, shape: [rows.length, columns.length] };
}

/**
 * Rows -> what a graph that encodes them reads, by the names of its inputs; an empty text is missing.
 * @param {RawRowsSteps} steps
 * @param {readonly unknown[]} rows
 * @returns {Map<string, NdArray | Texts>}
 */
export function encodeRows({ columns, numbers, categories }, rows) {
  const named = columns.filter(({ type }) => type === "categorical");
  const data = rows.flatMap((row, index) => named.map(({ name }) => categoryOf(cell(row, name, index)) ?? ""));
  /** @type {Map<string, NdArray | Texts>} */
  const feeds = new Map([[categories, { data, shape: [rows.length, named.length] }]]);
  const numeric = columns.filter(({ type }) => type === "numeric");
  return numbers === null ? feeds : feeds.set(numbers, encodeTable({ kind: "table", columns: numeric }, rows));
}

/**
 * What such a graph reads -> rows.
 * @param {RawRowsSteps} steps
 * @param {ReadonlyMap<string, NdArray | Texts>} feeds
 */
export function rowsOf({ columns, numbers, categories }, feeds) {
  /** @param {string} type @param {string | null} input @returns {[string, (row: number) => unknown][]} */
  const readers = (type, input) => columns.filter((column) => column.type === type).map(({ name }, place, { length }) =>
    [name, (row) => feeds.get(input ?? "")?.data[row * length + place]]);
  const cells = [...readers("numeric", numbers), ...readers("categorical", categories)];
  return Array.from({ length: feeds.get(categories)?.shape[0] ?? 0 }, (_, row) => Object.fromEntries(
    cells.map(([name, value]) => [name, value(row) === "" || Number.isNaN(value(row)) ? null : value(row)])));
}

/**
 * @param {unknown} row
 * @param {string} name
 * @param {number} index
 * @returns {unknown}
 */
function cell(row, name, index) {
  if (typeof row !== "object" || row === null || Array.isArray(row)) {
    throw new SampleError(`row ${index}: must be an object, found ${JSON.stringify(row)}`);
  }
  if (!Object.hasOwn(row, name)) {
    const found = Object.keys(row).join(", ");
    throw new SampleError(`row ${index}: must have the column ${JSON.stringify(name)}, found ${found}`);
  }
  return /** @type {Record<string, unknown>} */ (row)[name];
}

/**
 * @param {unknown} value
 * @param {string} name
 * @param {number} index
 */
function number(value, name, index) {
  if (value === null || value === undefined || value === "") return NaN;
  const text = String(value).trim();
  const written = typeof value === "string" && /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text);
  if (typeof value === "string" && /^[+-]?nan$/i.test(text)) return NaN;
  const found = written || ["number", "bigint", "boolean"].includes(typeof value) ? Number(value) : Infinity;
  if (Math.abs(found) > LARGEST) {
    const shown = typeof value === "string" ? JSON.stringify(value) : text;
    throw new SampleError(`row ${index}: ${JSON.stringify(name)} must be a finite number, found ${shown}`);
  }
  return found;
}

/**
 * A category's name as Python writes it, since the model's categories were written so; null where there is none.
 * @param {unknown} value
 */
function categoryOf(value) {
  if (typeof value === "boolean") return value ? "True" : "False";
  if (value === null || value === undefined || Number.isNaN(value)) return null;
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return BigInt(value).toString();
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return Math.abs(value) >= 1e-4 ? String(value) : value.toExponential().replace(/e-(\d)$/, "e-0$1");
}
