/** The model's file cannot be used: it cannot be read, was not made by mtl-edge, or was changed since. */
export class ModelFileError extends Error {
  name = "ModelFileError";
}

/** The samples are not what the model reads; the message says the rule and what was found. */
export class SampleError extends Error {
  name = "SampleError";
}
