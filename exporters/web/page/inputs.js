// What a sample is given by: a dropped picture, a form for a row, a text, or numbers.

import { bytesOfPicture, sampleOfPicture } from "../browser.js";
import { drawing, element } from "./elements.js";

/**
 * What a model is given samples by, one part for each of its inputs: its element, and `show`, which fills it with a golden
 * vector's first raw sample and answers it.
 * @param {readonly import("../mtl_edge/index.js").ModelInput[]} inputs
 * @param {(samples: any) => Promise<void>} answer
 * @param {(error: Error | null) => void} fail
 */
export function inputsFor(inputs, answer, fail) {
  if (inputs.length === 1) return inputFor(inputs[0], answer, fail, true);
  const given = {};
  let filling = false;
  const parts = inputs.map((input) => {
    const take = async (samples) => {
      given[input.name] = samples;
      if (!filling) await answer({ ...given });
    };
    return { name: input.name, ...inputFor(input, take, fail, false) };
  });
  const show = async (golden) => {
    filling = true; // one answer, when all of them are there
    try {
      for (const part of parts) await part.show(golden[part.name]);
    } finally {
      filling = false;
    }
    await answer({ ...given });
  };
  const titled = parts.map((part) => element("fieldset", {}, element("legend", {}, part.name), part.element));
  return { element: element("div", { className: "inputs" }, ...titled), show };
}

function inputFor(input, answer, fail, alone) {
  const { preprocessing } = input;
  if (preprocessing.kind === "table" || preprocessing.kind === "raw-rows") return rowForm(preprocessing.columns, answer);
  if (preprocessing.kind === "tokens") return textBox(preprocessing.vocabulary, answer);
  const pictures = pictureLayout(input);
  return pictures === null ? numbers(input, answer) : dropZone(pictures, answer, fail, alone);
}

/** How a model that reads pictures has their values: channels first and of one size, or last and of any size. */
function pictureLayout({ shape, dtype, preprocessing }) {
  if (shape.length !== 4 || dtype !== "uint8") return null;
  const last = preprocessing.kind === "raw-pixels" && preprocessing.size !== null;
  const channels = shape[last ? 3 : 1];
  if (channels !== 1 && channels !== 3) return null;
  if (last) return { channels, last, read: (file) => bytesOfPicture(file, channels) };
  const sizes = shape.slice(1);
  if (!sizes.every((size) => typeof size === "number")) return null;
  return { channels, last, read: async (file) => ({ data: await sampleOfPicture(file, sizes), shape: [1, ...sizes] }) };
}

function dropZone({ channels, last, read }, answer, fail, alone) {
  const seen = element("figure");
  const chooser = element("input", { type: "file", accept: "image/*" });
  const zone = element("label", { className: "drop" }, seen,
    element("span", {}, element("b", {}, "Drop an image"), alone ? " here, paste one, or choose one" : " here, or choose one"), chooser);
  const show = async ({ data, shape }) => {
    const [height, width] = last ? shape.slice(1) : shape.slice(2);
    const value = (pixel, channel) => data[last ? pixel * channels + channel : channel * height * width + pixel];
    const canvas = drawing(width, height, (pixel) => [0, 1, 2].map((channel) => value(pixel, Math.min(channel, channels - 1))));
    seen.replaceChildren(canvas, element("figcaption", {}, `what the model sees: ${width} × ${height}, ${channels === 1 ? "grey" : "colour"}`));
    await answer({ data, shape });
  };
  const take = async (file) => {
    if (!file?.type.startsWith("image/")) throw new Error("that is no image");
    await show(await read(file));
  };
  const given = (files) => { if (files.length) take(files[0]).catch(fail); };
  chooser.addEventListener("change", () => given(chooser.files));
  for (const name of ["dragenter", "dragover"]) {
    zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("over"); });
  }
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => { event.preventDefault(); given(event.dataTransfer.files); });
  if (alone) document.addEventListener("paste", (event) => given(event.clipboardData.files)); // else, for which of them?
  return { element: zone, show };
}

function rowForm(columns, answer) {
  const fields = columns.map(({ name, type, categories }) => type === "numeric"
    ? element("input", { type: "number", step: "any", name, placeholder: "missing" })
    : element("select", { name }, element("option", { value: "" }, "missing or other"),
      ...categories.map((category) => element("option", { value: category }, category))));
  const form = element("form", { className: "row" },
    ...fields.map((field) => element("label", {}, element("span", {}, field.name), field)));
  const send = () => answer([Object.fromEntries(fields.map((field) => [field.name, field.value === "" ? null : field.value]))]);
  form.addEventListener("input", send);
  form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  const show = (given) => { // an encoded row, or one as it is
    columns.forEach(({ name, type, categories }, position) => {
      if (Array.isArray(given)) {
        fields[position].value = given[0][name] ?? "";
        return;
      }
      const value = given.data[position];
      fields[position].value = type === "numeric" ? (Number.isNaN(value) ? "" : value) : categories[value - 1] ?? "";
    });
    return send();
  };
  return { element: form, show };
}

function textBox(vocabulary, answer) {
  const box = element("textarea", { rows: 6, ariaLabel: "a text", placeholder: "Write or paste a text" });
  const send = () => answer([box.value]);
  box.addEventListener("input", send);
  const show = ({ data, shape }) => {
    const ids = Array.from(data.slice(0, shape[1]), Number).filter((id) => id > 0);
    box.value = ids.map((id) => vocabulary[id - 2] ?? "…").join(" ");
    return send();
  };
  return { element: box, show };
}

function numbers({ shape }, answer) {
  const box = element("textarea", { rows: 6, ariaLabel: "numbers", spellcheck: false });
  let sample = null;
  const send = () => {
    const values = box.value.trim().split(/[\s,]+/).map(Number);
    return answer({ data: sample.data.constructor.from(values), shape: [1, ...sample.shape.slice(1)] });
  };
  box.addEventListener("input", send);
  const show = (golden) => {
    sample = golden;
    const size = golden.shape.slice(1).reduce((product, length) => product * length, 1);
    box.value = Array.from(golden.data.slice(0, size), (value) => Number(value.toPrecision(6))).join(", ");
    return send();
  };
  return { element: element("div", {}, element("p", {}, `numbers, ${shape.slice(1).join(" × ")}`), box), show };
}
