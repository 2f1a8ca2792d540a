// A model that is loaded and verified.

import { dtypeOf } from "./arrays.js";
import { DECODERS, decode } from "./decoding.js";
import { ModelFileError } from "./errors.js";
import { compare, goldenArray, goldenCases } from "./goldens.js";
import { verifiedManifest } from "./manifest.js";
import { inputOf, preprocess } from "./preprocessing.js";

/** @import { ModelInput, NdArray, Runtime, Session, TaskInfo, Tensor } from "./index.d.ts" */
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
    /** @type {ModelInput} */
    this.input = inputOf(manifest.inputs[0], place);
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

  /** @param {readonly unknown[] | NdArray} samples */
  async predict(samples) {
    const outputs = await this.run(samples);
    const names = this.tasks.map(({ name }) => name);
    const columns = this.tasks.map(({ name, kind }) => decode(kind, /** @type {NdArray} */ (outputs.get(name))));
    const count = columns[0]?.length ?? 0;
    return Array.from({ length: count }, (_, row) =>
      Object.fromEntries(names.map((name, column) => [name, columns[column]?.[row]])));
  }

  /** @param {readonly unknown[] | NdArray} samples */
  async run(samples) {
    const input = preprocess(this.input, samples);
    if (input.shape[0] === 0) return new Map(this.tasks.map(({ name }) => [name, { data: new Float32Array(0), shape: [0] }]));
    return this.#compute(input);
  }

  async selfCheck() {
    const cases = await goldenCases(this.#readGolden, this.sha256);
    for (const [number, { raw, inputs, outputs }] of cases.entries()) {
      const [given, wanted] = await Promise.all(
        [raw[0], inputs[0]].map((entry) => goldenArray(this.#readGolden, /** @type {any} */ (entry))));
      const input = preprocess(this.input, /** @type {NdArray} */ (given));
      const place = `goldens: case ${number}`;
      compare(`${place}: input '${this.input.name}'`, input, /** @type {NdArray} */ (wanted), INPUT_TOLERANCE);
      const found = await this.#compute(input);
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
    return goldenArray(this.#readGolden, /** @type {any} */ (cases[index]?.raw[0]));
  }

  /**
   * @param {NdArray} input
   * @returns {Promise<Map<string, NdArray>>}
   */
  async #compute({ data, shape }) {
    const tensor = new this.#runtime.Tensor(dtypeOf(data), data, shape);
    const outputs = await this.#session.run({ [this.input.name]: tensor });
    return new Map(Object.entries(outputs).map(([name, output]) => [name, { data: output.data, shape: output.dims }]));
  }
}
