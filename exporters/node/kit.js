// Opens the model of this folder under onnxruntime-node. Its types, kit.d.ts, were written for this very model.

import { readFile } from "node:fs/promises";
import { resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";
import * as ort from "onnxruntime-node";
import { Model, ModelFileError } from "./mtl_edge/index.js";

export * from "./mtl_edge/index.js";

/** @param {{ folder?: string | URL, threads?: number }} options */
export async function openKit({ folder = new URL(".", import.meta.url), threads = 1 } = {}) {
  const base = folder instanceof URL ? folder : pathToFileURL(resolve(folder) + sep);
  const content = await read(new URL("model.onnx", base));
  return Model.load(ort, content, { threads, readGolden: (file) => read(new URL(`goldens/${file}`, base)) });
}

/** @param {URL} place */
async function read(place) {
  try {
    return new Uint8Array(await readFile(place));
  } catch (error) {
    throw new ModelFileError(`${place.pathname}: cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}
