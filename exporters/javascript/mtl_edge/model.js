// A model that is loaded and verified.

import { dtypeOf } from "./arrays.js";
import { DECODERS, decode } from "./decoding.js";
import { ModelFileError, SampleError } from "./errors.js";
import { compare, goldenArray, goldenCases } from "./goldens.js";
import { verifiedManifest } from "./manifest.js";
import { feedsOf, inputsOf } from "./preprocessing.js";
import { rowsOf } from "./table.js";

/** @import { ModelInput, NdArray, Runtime, Session, TaskInfo, Texts, Tensor } from "./index.d.ts" */
/** @import { Manifest } from "./manifest_types.d.ts" */

const INPUT_TOLERANCE = 1e-5;

export class Model {
  #runtime;
  #session;
  #readGolden;

  /**
   * @param {Runtime} runtime
   * @param {Session} session
   * @param {Manifest} manifest
   * @param {string} place
   * @param {(file: string) => Promise<Uint8Array>} readGolden
   */
  constructor(runtime, session, manifest, place, readGolden) {
    this.#runtime = runtime;
    this.#session = session;
    this.#readGolden = readGolden;
    this.name = manifest.name;
    this.variant = manifest.variant;
    this.sha256 = manifest.sha256;
    /** @type {readonly ModelInput[]} */
    this.inputs = inputsOf(manifest.inputs, place);
    /** @type {readonly TaskInfo[]} */
    this.tasks = manifest.tasks.map(({ name, kind, classes }) => ({ name, kind: /** @type {any} */ (kind), classes }));
    for (const { name, kind } of this.tasks) {
      if (!Object.hasOwn(DECODERS, kind)) {
        const known = Object.keys(DECODERS).join(", ");
        throw new ModelFileError(`${place}: task ${JSON.stringify(name)}: kind must be one of ${known}, found ${kind}`);
      }
    }
  }

  /**
   * @param {Runtime} runtime
   * @param {Uint8Array} content
   * @param {import("./index.d.ts").LoadOptions} options
   */
  static async load(runtime, content, { place = "model.onnx", threads = 1, readGolden } = {}) {
    const manifest = await verifiedManifest(content, place);
    const none = async () => { throw new Error("load was not given readGolden"); };
    let session;
    try {
      session = await runtime.InferenceSession.create(content, {
        intraOpNumThreads: threads,
        logSeverityLevel: 3,
      });
    } catch (error) {
      throw new ModelFileError(`${place}: ONNX Runtime cannot load it: ${error instanceof Error ? error.message : error}`);
    }
    return new Model(runtime, session, manifest, place, readGolden ?? none);
  }

  /** @returns {ModelInput} */
  get input() {
    const [only, ...others] = this.inputs;
    if (only === undefined || others.length > 0) throw new SampleError(`${this.name} reads several inputs: see inputs`);
    return only;
  }

  /** @param {unknown} samples */
  async predict(samples) {
    const outputs = await this.run(samples);
    const names = this.tasks.map(({ name }) => name);
    const columns = this.tasks.map(({ name, kind }) => decode(kind, /** @type {NdArray} */ (outputs.get(name))));
    const count = columns[0]?.length ?? 0;
    return Array.from({ length: count }, (_, row) =>
      Object.fromEntries(names.map((name, column) => [name, columns[column]?.[row]])));
  }

  /** @param {unknown} samples */
  async run(samples) {
    const feeds = feedsOf(this.inputs, samples);
    if ([...feeds.values()].some(({ shape }) => shape[0] === 0)) {
      return new Map(this.tasks.map(({ name }) => [name, { data: new Float32Array(0), shape: [0] }]));
    }
    return this.#compute(feeds);
  }

  async selfCheck() {
    const cases = await goldenCases(this.#readGolden, this.sha256);
    for (const [number, { raw, inputs, outputs }] of cases.entries()) {
      const feeds = feedsOf(this.inputs, await this.#samples(raw));
      const place = `goldens: case ${number}`;
      for (const entry of inputs) {
        const input = feeds.get(entry.name);
        if (input === undefined) throw new ModelFileError(`${place}: the model must have an input '${entry.name}'`);
        compare(`${place}: input '${entry.name}'`, input, await goldenArray(this.#readGolden, entry), INPUT_TOLERANCE);
      }
      const found = await this.#compute(feeds);
      for (const entry of outputs) {
        const output = found.get(entry.name);
        if (output === undefined) throw new ModelFileError(`${place}: the model must have an output '${entry.name}'`);
        const expected = await goldenArray(this.#readGolden, entry);
        compare(`${place}: output '${entry.name}'`, output, expected, entry.atol ?? 0);
      }
    }
    return cases.length;
  }

  /** @param {number} index */
  async goldenSample(index) {
    const cases = await goldenCases(this.#readGolden, this.sha256);
    return this.#samples(cases[index]?.raw ?? []);
  }

  /**
   * @param {readonly import("./goldens.js").Entry[]} raw
   * @returns {Promise<any>}
   */
  async #samples(raw) {
    /** @type {[string, NdArray | Texts][]} */
    const arrays = await Promise.all(raw.map(async (entry) => [entry.name, await goldenArray(this.#readGolden, entry)]));
    const byName = new Map(arrays);
    const samples = this.inputs.map(({ name, preprocessing }) =>
      [name, preprocessing.kind === "raw-rows" ? rowsOf(preprocessing, byName) : byName.get(name)]);
    return samples.length === 1 ? samples[0]?.[1] : Object.fromEntries(samples);
  }

  /**
   * @param {ReadonlyMap<string, NdArray | Texts>} feeds
   * @returns {Promise<Map<string, NdArray>>}
   */
  async #compute(feeds) {
    const tensor = (/** @type {NdArray | Texts} */ { data, shape }) => new this.#runtime.Tensor(dtypeOf(data), data, shape);
    const outputs = await this.#session.run(Object.fromEntries([...feeds].map(([name, array]) => [name, tensor(array)])));
    return new Map(Object.entries(outputs).map(([name, output]) => [name, { data: output.data, shape: output.dims }]));
  }
}
