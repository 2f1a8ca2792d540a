/** A picture as a raw sample of a model that reads images `(channels, height, width)`, upright and resized as in training. */
export declare function sampleOfPicture(
  source: ImageBitmapSource,
  shape: readonly [channels: number, height: number, width: number],
): Promise<Uint8Array<ArrayBuffer>>;
