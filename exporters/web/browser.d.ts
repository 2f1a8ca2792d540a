import type { NdArray } from "./mtl_edge/index.js";

/** A picture as a raw sample of a model that reads images `(channels, height, width)`, upright and resized as in training. */
export declare function sampleOfPicture(
  source: ImageBitmapSource,
  shape: readonly [channels: number, height: number, width: number],
): Promise<Uint8Array<ArrayBuffer>>;

/** A picture of its own size, `(1, height, width, channels)`, for a model whose graph resizes by itself. */
export declare function bytesOfPicture(source: ImageBitmapSource, channels: 1 | 3): Promise<NdArray>;
