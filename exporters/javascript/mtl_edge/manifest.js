// Reads the manifest at the end of a model's file and checks the file's SHA-256, before any runtime sees the file.

import { ModelFileError } from "./errors.js";

/** @import { Manifest } from "./manifest_types.d.ts" */

const KEY = "mtl_edge.manifest";
const FORMAT = 1;
const DIGITS = 64;
const METADATA_PROPS = 14; // the field of ONNX's ModelProto

/**
 * The manifest of a model whose file has the SHA-256 that its manifest states.
 * @param {Uint8Array} content the whole file
 * @param {string} place what errors call it
 * @returns {Promise<Manifest>}
 */
export async function verifiedManifest(content, place) {
  const text = manifestText(content);
  if (text === null) {
    throw new ModelFileError(`${place}: must end with mtl-edge's manifest, found none: was it made by mtl-edge?`);
  }
  const manifest = parsed(text, place);
  const expected = manifest.sha256;
  const found = await sha256(content.subarray(0, -DIGITS - 2), content.subarray(-2));
  if (found !== expected) {
    throw new ModelFileError(`${place}: the file was changed after export: SHA-256 must be ${expected}, found ${found}`);
  }
  return manifest;
}

/**
 * @param {string} text
 * @param {string} place
 * @returns {Manifest}
 */
function parsed(text, place) {
  let manifest;
  try {
    manifest = JSON.parse(text);
  } catch (error) {
    throw new ModelFileError(`${place}: the manifest cannot be understood: ${error}`);
  }
  if (manifest?.format !== FORMAT) {
    const found = JSON.stringify(manifest?.format);
    throw new ModelFileError(`${place}: the manifest's format must be ${FORMAT}, found ${found}: update this client`);
  }
  if (!Array.isArray(manifest.tasks) || !(manifest.inputs?.length > 0) || typeof manifest.sha256 !== "string") {
    throw new ModelFileError(`${place}: the manifest must have tasks, inputs and a SHA-256`);
  }
  return manifest;
}

/**
 * The last metadata entry of a model in protobuf's wire format, if it is the manifest and ends the file.
 * @param {Uint8Array} content
 */
function manifestText(content) {
  let last = null;
  for (const [field, value] of fields(content)) {
    last = field === METADATA_PROPS ? value : null;
  }
  if (last === null) return null;
  const decoder = new TextDecoder();
  const [key, text] = [...fields(last)].map(([, value]) => decoder.decode(value));
  return key === KEY && text !== undefined ? text : null;
}

/**
 * The fields of a protobuf message: number and content, which is empty for numbers; ends at what is none.
 * @param {Uint8Array} message
 * @returns {Generator<[number, Uint8Array]>}
 */
function* fields(message) {
  const FIXED = new Map([[1, 8], [5, 4]]);
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; at < message.length; scale *= 128) {
      const byte = message[at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < message.length) {
    const tag = varint();
    const wire = tag % 8;
    let length = 0;
    if (wire === 0) varint();
    else if (wire === 2) length = varint();
    else length = FIXED.get(wire) ?? Infinity;
    if (at + length > message.length) {
      yield [0, message.subarray(0, 0)]; // no protobuf: what came before is not the last field
      return;
    }
    yield [Math.floor(tag / 8), message.subarray(at, at + length)];
    at += length;
  }
}

/**
 * @param {...Uint8Array} parts
 * @returns {Promise<string>} in hexadecimal digits
 */
async function sha256(...parts) {
  if (globalThis.crypto?.subtle === undefined) {
    throw new ModelFileError("SHA-256 needs a secure page: serve it by https:, or from localhost");
  }
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", joined));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
