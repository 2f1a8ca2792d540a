// Elements in one expression.

/**
 * @param {string} tag
 * @param {Record<string, unknown>} properties of the element; `style` and `dataset` take objects
 * @param {...(Node | string)} children
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "style") for (const [key, entry] of Object.entries(value)) made.style.setProperty(key, entry);
    else if (name === "dataset") Object.assign(made.dataset, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/**
 * A canvas of pixels whose colours a function gives as [red, green, blue].
 * @param {number} width
 * @param {number} height
 * @param {(pixel: number) => readonly number[]} colour
 */
export function drawing(width, height, colour) {
  const canvas = element("canvas", { width, height });
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) image.data.set([...colour(pixel), 255], 4 * pixel);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
