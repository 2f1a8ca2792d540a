// Raw samples -> what the network reads, bit for bit as in training.

import { ARRAYS, dtypeOf, isNdArray, shown, sizeOf } from "./arrays.js";
import { ModelFileError, SampleError } from "./errors.js";
import { encodeRows, encodeTable } from "./table.js";

/** @import { ModelInput, NdArray, Texts, TypedArray } from "./index.d.ts" */
/** @import { ManifestInput, PixelsSteps, RawCategoriesSteps, RawNumbersSteps, RawRowsSteps, TokensSteps } from "./manifest_types.d.ts" */

const KINDS = ["pixels", "raw-pixels", "table", "tokens"];

/**
 * What a model reads, by its manifest; of rows that the graph encodes, numbers and categories are an input each.
 * @param {readonly ManifestInput[]} entries
 * @param {string} place
 * @returns {ModelInput[]}
 */
export function inputsOf(entries, place) {
  /** @type {Map<string, [ManifestInput, ...ManifestInput[]]>} */
  const parts = new Map();
  for (const entry of entries) {
    const ofRows = ["raw-numbers", "raw-categories"].includes(entry.preprocessing.kind);
    const name = (ofRows ? entry.reads : null) ?? entry.name;
    const known = parts.get(name);
    if (known === undefined) parts.set(name, [entry]);
    else known.push(entry);
  }
  return [...parts.values()].map((part) => inputOf(part, place));
}

/**
 * @param {readonly [ManifestInput, ...ManifestInput[]]} entries
 * @param {string} place
 * @returns {ModelInput}
 */
function inputOf(entries, place) {
  const rows = rowsInput(entries);
  if (rows !== null) return rows;
  const [entry] = entries;
  const steps = entry.preprocessing;
  if (entries.length > 1 || steps.kind === "raw-numbers" || steps.kind === "raw-categories" || !KINDS.includes(steps.kind)) {
    const found = entries.map(({ preprocessing }) => preprocessing.kind).join(", ");
    throw new ModelFileError(`${place}: preprocessing must be one of ${KINDS.join(", ")}, or of rows, found ${found}`);
  }
  const dtype = steps.kind === "pixels" ? steps.raw_dtype : entry.dtype; // a graph that preprocesses reads what is raw
  if (ARRAYS[dtype] === undefined) {
    throw new ModelFileError(`${place}: raw samples must be of a dtype that JavaScript has, found ${dtype}`);
  }
  return { name: entry.name, dtype, shape: entry.shape, preprocessing: steps };
}

/**
 * @param {readonly ManifestInput[]} entries
 * @returns {ModelInput | null}
 */
function rowsInput(entries) {
  const texts = entries.find(({ preprocessing }) => preprocessing.kind === "raw-categories");
  const numbers = entries.find(({ preprocessing }) => preprocessing.kind === "raw-numbers");
  if (texts === undefined || entries.some((entry) => entry !== texts && entry !== numbers)) return null;
  const named = /** @type {RawCategoriesSteps} */ (texts.preprocessing);
  const numeric = /** @type {RawNumbersSteps | undefined} */ (numbers?.preprocessing);
  /** @type {RawRowsSteps["columns"][number][]} */
  const columns = [];
  named.columns.forEach(({ name, categories }, at) => { columns[named.places[at] ?? 0] = { type: "categorical", name, categories }; });
  numeric?.columns.forEach((name, at) => { columns[numeric.places[at] ?? 0] = { type: "numeric", name }; });
  /** @type {RawRowsSteps} */
  const steps = { kind: "raw-rows", columns, numbers: numbers?.name ?? null, categories: texts.name };
  return { name: texts.reads ?? texts.name, dtype: "rows", shape: [texts.shape[0] ?? "batch", columns.length], preprocessing: steps };
}

/**
 * Samples, those of each input by its name where there are several -> what the graph reads, by the names of its inputs.
 * @param {readonly ModelInput[]} inputs
 * @param {unknown} samples
 * @returns {Map<string, NdArray | Texts>}
 */
export function feedsOf(inputs, samples) {
  const parts = inputs.length === 1 ? [samples] : partsOf(inputs, samples);
  const feeds = inputs.map((input, place) => feedsOfInput(input, /** @type {NdArray} */ (parts[place])));
  const counts = feeds.map((part) => [...part.values()][0]?.shape[0] ?? 0);
  if (new Set(counts).size > 1) {
    const found = inputs.map(({ name }, place) => `${name} ${counts[place]}`).join(", ");
    throw new SampleError(`each input must have as many samples as the others, found ${found}`);
  }
  return new Map(feeds.flatMap((part) => [...part]));
}

/**
 * @param {readonly ModelInput[]} inputs
 * @param {unknown} samples
 */
function partsOf(inputs, samples) {
  const names = inputs.map(({ name }) => name);
  const plain = typeof samples === "object" && samples !== null && !Array.isArray(samples) && !isNdArray(samples);
  const given = plain ? Object.keys(samples) : [];
  if (given.length !== names.length || !names.every((name) => given.includes(name))) {
    const found = plain ? given.join(", ") : "something else";
    throw new SampleError(`samples must be by the names of inputs, ${names.join(", ")}, found ${found}`);
  }
  return names.map((name) => /** @type {Record<string, unknown>} */ (samples)[name]);
}

/**
 * @param {ModelInput} input
 * @param {readonly unknown[] | NdArray} samples
 * @returns {Map<string, NdArray | Texts>}
 */
function feedsOfInput(input, samples) {
  if (input.preprocessing.kind !== "raw-rows") return new Map([[input.name, preprocess(input, samples)]]);
  if (!Array.isArray(samples)) throw new SampleError(`${input.name}: samples must be a list of rows, found something else`);
  const feeds = encodeRows(input.preprocessing, samples);
  const [batch] = input.shape;
  if (typeof batch === "number" && samples.length !== batch) {
    throw new SampleError(`${input.name}: must be ${batch} rows, found ${samples.length}`);
  }
  return feeds;
}

/**
 * Raw samples, or a list of rows or texts -> the network's input.
 * @param {ModelInput} input
 * @param {readonly unknown[] | NdArray} samples
 * @returns {NdArray}
 */
export function preprocess(input, samples) {
  const { name, dtype, shape, preprocessing } = input;
  const raw = isNdArray(samples) ? samples : encoded(input, samples);
  const found = dtypeOf(raw.data);
  if (found !== (dtype === "bool" ? "uint8" : dtype)) {
    throw new SampleError(`${name}: dtype must be ${dtype}, found ${found}`);
  }
  const fits = raw.shape.length === shape.length
    && shape.every((size, axis) => typeof size === "string" || size === raw.shape[axis]);
  if (!fits) throw new SampleError(`${name}: shape must be ${shown(shape)}, found ${shown(raw.shape)}`);
  if (raw.data.length !== sizeOf(raw.shape)) {
    throw new SampleError(`${name}: ${shown(raw.shape)} is ${sizeOf(raw.shape)} values, found ${raw.data.length}`);
  }
  return preprocessing.kind === "pixels" ? standardized(preprocessing, raw) : raw;
}

/**
 * @param {ModelInput} input
 * @param {readonly unknown[]} samples
 * @returns {NdArray}
 */
function encoded({ name, dtype, shape, preprocessing }, samples) {
  if (!Array.isArray(samples)) {
    throw new SampleError(`${name}: samples must be in a list or an array, found one alone`);
  }
  switch (preprocessing.kind) {
    case "pixels":
    case "raw-pixels": return stacked(name, dtype, shape.slice(1), samples);
    case "table": return encodeTable(preprocessing, samples);
    case "raw-rows": throw new SampleError(`${name}: rows become several inputs`);
    case "tokens": return encodeTexts(preprocessing, samples);
  }
}

/**
 * Arrays `(C, …)`, or their values alone where the model leaves no size open, as one array.
 * @param {string} name
 * @param {string} dtype
 * @param {readonly (number | string)[]} shape
 * @param {readonly unknown[]} samples
 * @returns {NdArray}
 */
function stacked(name, dtype, shape, samples) {
  const alone = samples.findIndex((sample) => !isNdArray(sample));
  if (alone >= 0 && shape.some((length) => typeof length === "string")) {
    throw new SampleError(`${name}: sample ${alone}: must be { data, shape }, because ${shown(shape)} leaves sizes open`);
  }
  const parts = samples.map((sample) => /** @type {NdArray} */ (isNdArray(sample) ? sample : { data: sample, shape }));
  const inner = parts[0]?.shape ?? shape.map((length) => (typeof length === "number" ? length : 0));
  const size = sizeOf(inner);
  const type = /** @type {NonNullable<(typeof ARRAYS)[string]>} */ (ARRAYS[dtype]);
  const data = new type(samples.length * size);
  parts.forEach((part, index) => {
    if (!(part.data instanceof type)) {
      throw new SampleError(`${name}: sample ${index}: dtype must be ${dtype}, found ${dtypeOf(part.data)}`);
    }
    if (part.data.length !== size || String(part.shape) !== String(inner)) {
      const found = isNdArray(samples[index]) ? shown(part.shape) : `${part.data.length} values`;
      throw new SampleError(`${name}: sample ${index}: must be ${shown(inner)}, found ${found}`);
    }
    data.set(/** @type {any} */ (part.data), index * size);
  });
  return { data, shape: [samples.length, ...inner] };
}

/**
 * `raw * scale / std - mean / std` by channel, rounded to float32 at each step as numpy does.
 * @param {PixelsSteps} steps
 * @param {NdArray} raw
 * @returns {NdArray}
 */
function standardized({ scale, mean, std }, { data, shape }) {
  const { fround } = Math;
  const factors = std.map((value) => fround(fround(scale) / fround(value)));
  const offsets = mean.map((value, channel) => fround(fround(value) / fround(std[channel] ?? 1)));
  const plane = sizeOf(shape.slice(2));
  const values = new Float32Array(data.length);
  for (let at = 0, channel = 0; at < data.length; channel = (channel + 1) % mean.length) {
    const factor = factors[channel] ?? 1, offset = offsets[channel] ?? 0;
    for (const end = at + plane; at < end; at++) {
      values[at] = fround(fround(Number(data[at])) * factor) - offset;
    }
  }
  return { data: values, shape };
}

/**
 * Runs of `a-z0-9'` in lower case; ids begin with 2, 0 is padding and 1 any other word.
 * @param {TokensSteps} steps
 * @param {readonly unknown[]} texts
 * @returns {NdArray}
 */
function encodeTexts({ vocabulary, length }, texts) {
  const ids = new Map(vocabulary.map((word, position) => [word, BigInt(position + 2)]));
  const data = new BigInt64Array(texts.length * length);
  texts.forEach((text, row) => {
    if (text !== null && text !== undefined && typeof text !== "string") {
      throw new SampleError(`samples must be texts, found ${JSON.stringify(text)}`);
    }
    const words = (text ?? "").toLowerCase().match(/[a-z0-9']+/g) ?? [];
    words.slice(0, length).forEach((word, column) => { data[row * length + column] = ids.get(word) ?? 1n; });
  });
  return { data, shape: [texts.length, length] };
}
