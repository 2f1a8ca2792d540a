// Opens the model of this folder under onnxruntime-web. Its types, kit.d.ts, were written for this very model.

import * as ort from "onnxruntime-web/wasm";
import { Model, ModelFileError } from "./mtl_edge/index.js";

export * from "./mtl_edge/index.js";

/** @param {{ folder?: string | URL, threads?: number }} options */
export async function openKit({ folder = new URL(".", import.meta.url), threads = 1 } = {}) {
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? threads : 1;
  const base = new URL(folder, globalThis.location?.href);
  const content = await read(new URL("model.onnx", base));
  return Model.load(ort, content, { threads, readGolden: (file) => read(new URL(`goldens/${file}`, base)) });
}

/** @param {URL} place */
async function read(place) {
  const response = await fetch(place);
  if (!response.ok) throw new ModelFileError(`${place.pathname}: cannot be read: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
