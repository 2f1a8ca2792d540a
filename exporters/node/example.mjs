// Checks the model on this machine, then prints its answers for the golden vectors: `node example.mjs`.

import { openKit } from "./kit.js";

const model = await openKit();
const count = await model.selfCheck();
console.log(`${model.name} ${model.variant}: ${count} golden vectors agree on this machine`);
for (const { name, dtype, shape } of model.inputs) console.log(`reads ${name}, ${dtype} (${shape.join(", ")})`);

for (let index = 0; index < count; index++) {
  const samples = await model.goldenSample(index);
  const start = performance.now();
  const [answers] = await model.predict(samples);
  const took = performance.now() - start;
  console.log(`sample ${index}, ${took.toFixed(2)} ms:`);
  for (const [task, answer] of Object.entries(answers)) console.log(`  ${task}: ${described(answer)}`);
}

function described(answer) {
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  switch (answer.kind) {
    case "multiclass": return `${answer.label} (${percent(answer.probability)})`;
    case "binary": return `${answer.yes ? "yes" : "no"} (${percent(answer.probability)})`;
    case "multilabel": return answer.labels.map((label) => `${label} (${percent(answer.probabilities[label])})`).join(" + ") || "none";
    case "ordinal": return `rank ${answer.rank} of 0 to ${answer.above.length}`;
    case "regression": return answer.value.toPrecision(4);
    case "segmentation": return `${answer.height} x ${answer.width} pixels of ${new Set(answer.labels).size} classes`;
    case "dense-regression": return `${answer.height} x ${answer.width} pixels, ${Math.min(...answer.values).toPrecision(4)} to ${Math.max(...answer.values).toPrecision(4)}`;
  }
}
