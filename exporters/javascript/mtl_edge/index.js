// Run a model that mtl-edge made. Types, and what each member does, are in index.d.ts.

export { ModelFileError, SampleError } from "./errors.js";
export { imageBytes, imageSample } from "./images.js";
export { Model } from "./model.js";
