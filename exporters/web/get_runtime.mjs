// Copies the two files of onnxruntime-web that a browser loads to `ort/`, so that this folder is all that is served.

import { copyFile, mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const target = new URL("ort/", import.meta.url);
await mkdir(target, { recursive: true });
for (const file of ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"]) {
  await copyFile(fileURLToPath(new URL(`node_modules/onnxruntime-web/dist/${file}`, import.meta.url)), new URL(file, target));
}
