// Answers as cards, one for each task.

import { drawing, element } from "./elements.js";

const MOST_BARS = 5;

/**
 * @param {string} task
 * @param {import("../mtl_edge/index.js").Answer} answer
 */
export function card(task, answer) {
  return element("article", { dataset: { task, kind: answer.kind } }, element("h3", {}, task), ...body(answer));
}

function body(answer) {
  switch (answer.kind) {
    case "multiclass": {
      const order = [...answer.probabilities.keys()].sort((a, b) => answer.probabilities[b] - answer.probabilities[a]);
      return [headline(`class ${answer.label}`), bars(order.slice(0, MOST_BARS).map((label) => [`${label}`, answer.probabilities[label], label === answer.label]))];
    }
    case "binary":
      return [headline(answer.yes ? "yes" : "no"), bars([["yes", answer.probability, answer.yes]])];
    case "multilabel":
      return [headline(answer.labels.join(", ") || "none"), bars(answer.probabilities.map((share, label) => [`${label}`, share, share > 0.5]))];
    case "ordinal":
      return [headline(`rank ${answer.rank}`, `of 0 to ${answer.above.length}`), bars(answer.above.map((share, rank) => [`above ${rank}`, share, rank < answer.rank]))];
    case "regression":
      return [headline(number(answer.value))];
    case "segmentation":
      return segmentation(answer);
    case "dense-regression":
      return depth(answer);
  }
}

function headline(text, beside = "") {
  return element("p", { className: "headline" }, text, element("small", {}, beside && ` ${beside}`));
}

function bars(rows) {
  return element("dl", { className: "bars" }, ...rows.flatMap(([name, share, chosen]) => [
    element("dt", {}, name),
    element("dd", { className: chosen ? "chosen" : "", style: { "--share": `${100 * share}%` } }, `${(100 * share).toFixed(1)} %`),
  ]));
}

function segmentation({ classes, height, width, labels }) {
  const counts = new Map();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  const largest = [...counts].sort((a, b) => b[1] - a[1]).slice(0, MOST_BARS);
  const legend = element("ul", { className: "legend" }, ...largest.map(([label, count]) => element("li", {},
    element("i", { style: { background: `rgb(${hue(label, classes)})` } }), `class ${label}`,
    element("b", {}, `${(100 * count / labels.length).toFixed(1)} %`))));
  return [drawing(width, height, (pixel) => hue(labels[pixel], classes)), legend];
}

function depth({ height, width, values }) {
  const lowest = values.reduce((a, b) => Math.min(a, b)), highest = values.reduce((a, b) => Math.max(a, b));
  const range = highest - lowest || 1;
  return [
    drawing(width, height, (pixel) => heat((values[pixel] - lowest) / range)),
    element("p", { className: "scale" }, number(lowest), element("i"), number(highest)),
  ];
}

/** Class 0 is nearly black, as it mostly is the background; the others are far apart on the colour wheel. */
function hue(label, classes) {
  if (label === 0) return [38, 42, 51];
  const turn = (label * 0.618034 * Math.max(classes, 1)) % 1;
  const lightness = 0.62 - 0.08 * (label % 3);
  return [0, 8, 4].map((offset) => {
    const place = (offset + 12 * turn) % 12;
    return Math.round(255 * (lightness - 0.62 * Math.min(lightness, 1 - lightness) * Math.max(-1, Math.min(place - 3, 9 - place, 1))));
  });
}

/** From deep blue by teal to pale yellow, ever lighter, so that it reads without colours too. */
function heat(share) {
  const stops = [[36, 27, 82], [38, 93, 140], [42, 157, 143], [138, 201, 108], [250, 237, 166]];
  const place = Math.min(share, 0.9999) * (stops.length - 1);
  const [from, to] = [stops[Math.floor(place)], stops[Math.floor(place) + 1]];
  return from.map((value, channel) => value + (to[channel] - value) * (place % 1));
}

const number = (value) => (Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(Number(value.toPrecision(4))));
