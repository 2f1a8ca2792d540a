// What a sample is given by: a dropped picture, a form for a row, a text, or numbers.

import { sampleOfPicture } from "../browser.js";
import { drawing, element } from "./elements.js";

/**
 * The input for a model: its element, and `show`, which fills it with a golden vector's first raw sample and answers it.
 * @param {import("../mtl_edge/index.js").ModelInput} input
 * @param {(samples: any) => Promise<void>} answer
 * @param {(error: Error | null) => void} fail
 */
export function inputFor(input, answer, fail) {
  const { preprocessing, shape, dtype } = input;
  if (preprocessing.kind === "table") return rowForm(preprocessing.columns, answer);
  if (preprocessing.kind === "tokens") return textBox(preprocessing.vocabulary, answer);
  const picture = shape.length === 4 && [1, 3].includes(shape[1]) && dtype === "uint8" && shape.every((size, axis) => axis === 0 || typeof size === "number");
  return picture ? dropZone(shape.slice(1), answer, fail) : numbers(input, answer);
}

function dropZone(shape, answer, fail) {
  const [channels, height, width] = shape;
  const seen = element("figure");
  const chooser = element("input", { type: "file", accept: "image/*" });
  const zone = element("label", { className: "drop" }, seen,
    element("span", {}, element("b", {}, "Drop an image"), " here, paste one, or choose one"), chooser);
  const show = async (data) => {
    const plane = height * width;
    const canvas = drawing(width, height, (pixel) => [0, 1, 2].map((channel) => data[Math.min(channel, channels - 1) * plane + pixel]));
    seen.replaceChildren(canvas, element("figcaption", {}, `what the model sees: ${width} × ${height}, ${channels === 1 ? "grey" : "colour"}`));
    await answer({ data, shape: [1, ...shape] });
  };
  const take = async (file) => {
    if (!file?.type.startsWith("image/")) throw new Error("that is no image");
    await show(await sampleOfPicture(file, shape));
  };
  const given = (files) => { if (files.length) take(files[0]).catch(fail); };
  chooser.addEventListener("change", () => given(chooser.files));
  for (const name of ["dragenter", "dragover"]) {
    zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("over"); });
  }
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => { event.preventDefault(); given(event.dataTransfer.files); });
  document.addEventListener("paste", (event) => given(event.clipboardData.files));
  return { element: zone, show: ({ data }) => show(data.slice(0, channels * height * width)) };
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
  const show = ({ data }) => {
    columns.forEach(({ type, categories }, position) => {
      const value = data[position];
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
