// Pictures in a browser: files, cameras and canvases as samples.

import { imageBytes, imageSample } from "./mtl_edge/index.js";

/**
 * A picture as a raw sample of a model that reads images `(channels, height, width)`, upright and resized as in training.
 * @param {ImageBitmapSource} source a dropped file, an <img>, a <video>, a <canvas>
 * @param {readonly [channels: number, height: number, width: number]} shape
 */
export async function sampleOfPicture(source, shape) {
  return imageSample(await pixelsOf(source), shape);
}

/**
 * A picture of its own size, `(1, height, width, channels)`, for a model whose graph resizes by itself.
 * @param {ImageBitmapSource} source
 * @param {1 | 3} channels
 */
export async function bytesOfPicture(source, channels) {
  return imageBytes(await pixelsOf(source), channels);
}

/** @param {ImageBitmapSource} source */
async function pixelsOf(source) {
  const picture = await createImageBitmap(source);
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) throw new Error("this browser gives no canvas");
  context.drawImage(picture, 0, 0);
  picture.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}
