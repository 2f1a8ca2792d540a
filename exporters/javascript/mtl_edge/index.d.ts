// The client's types. `kit.d.ts` narrows them to one model's tasks and samples.

import type { PixelsSteps, RawPixelsSteps, RawRowsSteps, TableSteps, TokensSteps } from "./manifest_types.d.ts";

export type TypedArray =
  | Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array
  | BigUint64Array | BigInt64Array | Float32Array | Float64Array;

/** Values in C order, and the size of each axis. */
export interface NdArray {
  readonly data: TypedArray;
  readonly shape: readonly number[];
}

/** Texts in C order, for a graph that looks them up by itself. */
export interface Texts {
  readonly data: readonly string[];
  readonly shape: readonly number[];
}

/** The most probable class, and how probable the model holds each (softmax, 0 to 1). */
export interface Multiclass {
  readonly kind: "multiclass";
  readonly label: number;
  readonly probability: number;
  readonly probabilities: readonly number[];
}

/** Whether it is more probable than not, and how probable (sigmoid, 0 to 1). */
export interface Binary {
  readonly kind: "binary";
  readonly yes: boolean;
  readonly probability: number;
}

/** The classes that are more probable than not, and the probability of each class. */
export interface Multilabel {
  readonly kind: "multilabel";
  readonly labels: readonly number[];
  readonly probabilities: readonly number[];
}

/** The class in the order of classes, and for each class but the last the probability of one above it. */
export interface Ordinal {
  readonly kind: "ordinal";
  readonly rank: number;
  readonly above: readonly number[];
}

/** The value, in the unit of the labels that the model was trained on. */
export interface Regression {
  readonly kind: "regression";
  readonly value: number;
}

/** The most probable of `classes` for each pixel, row by row. */
export interface Segmentation {
  readonly kind: "segmentation";
  readonly classes: number;
  readonly height: number;
  readonly width: number;
  readonly labels: Uint8Array | Uint16Array;
}

/** The value of each pixel, row by row, in the unit of the labels that the model was trained on. */
export interface DenseRegression {
  readonly kind: "dense-regression";
  readonly height: number;
  readonly width: number;
  readonly values: Float32Array;
}

export type Answer = Multiclass | Binary | Multilabel | Ordinal | Regression | Segmentation | DenseRegression;

/** A task's name is that of its output; `classes` is given where there are some. */
export interface TaskInfo {
  readonly name: string;
  readonly kind: Answer["kind"];
  readonly classes?: number | undefined;
}

/** What the model reads, or part of it: raw samples of this dtype and shape, of which a name is a size of your choice. */
export interface ModelInput {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly (number | string)[];
  readonly preprocessing: PixelsSteps | RawPixelsSteps | RawRowsSteps | TableSteps | TokensSteps;
}

export interface LoadOptions {
  /** What errors call the model. */
  readonly place?: string | undefined;
  /** For one prediction. */
  readonly threads?: number | undefined;
  /** Gives a file of the golden vectors, by its name. */
  readonly readGolden?: ((file: string) => Promise<Uint8Array>) | undefined;
}

/**
 * A model that is loaded and verified; `A` is what it answers for one sample, `S` one raw sample, and `B` some of them:
 * where it reads several inputs, those of each by its name.
 */
export class Model<A = Record<string, Answer>, S = unknown, B = readonly S[] | NdArray> {
  private constructor();

  /**
   * Verify a model's file, then load it.
   * @throws {ModelFileError} it has no manifest, or is not the one that was exported, or the runtime refuses it
   */
  static load<A = Record<string, Answer>, S = unknown, B = readonly S[] | NdArray>(
    runtime: Runtime, content: Uint8Array, options?: LoadOptions,
  ): Promise<Model<A, S, B>>;

  readonly name: string;
  readonly variant: string;
  readonly sha256: string;
  readonly inputs: readonly ModelInput[];
  /** What it reads, where that is one thing. */
  readonly input: ModelInput;
  readonly tasks: readonly TaskInfo[];

  /**
   * Raw samples -> for each of them its answers, task name -> answer.
   * @throws {SampleError} the samples are not what the model reads
   */
  predict(samples: B): Promise<A[]>;

  /** The same without decoding: task name -> output of the whole batch. */
  run(samples: B): Promise<Map<string, NdArray>>;

  /**
   * Compare what this device answers with the golden vectors; do so once before you trust it. Gives their number.
   * @throws {ModelFileError} they cannot be read, are another model's, or an answer is off; the worst is named
   */
  selfCheck(): Promise<number>;

  /** The raw batch of a golden vector, to try the model with; rows, where the graph encodes them. */
  goldenSample(index: number): Promise<B>;
}

/** Red, green, blue and alpha of each pixel, row by row, as a canvas gives them. */
export interface Pixmap {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** An image of any size as a raw sample: grey for one channel, else red, green, blue; resized as in training. */
export function imageSample(image: Pixmap, shape: readonly [channels: number, height: number, width: number]): Uint8Array;

/** An image of its own size as `(1, height, width, channels)`, for a graph that resizes by itself. */
export function imageBytes(image: Pixmap, channels: 1 | 3): NdArray;

export class ModelFileError extends Error {}
export class SampleError extends Error {}

/** What the client uses of onnxruntime-node or onnxruntime-web. */
export interface Runtime {
  readonly InferenceSession: { create(content: Uint8Array, options?: object): Promise<Session> };
  readonly Tensor: new (type: any, data: any, dims: readonly number[]) => Tensor;
}

export interface Session {
  run(feeds: Record<string, any>): Promise<Record<string, any>>;
}

export interface Tensor {
  readonly dims: readonly number[];
  readonly data: unknown;
}
