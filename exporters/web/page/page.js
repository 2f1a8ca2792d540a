// The page: load, check, then answer whatever is given.

import { openKit } from "../kit.js";
import { inputsFor } from "./inputs.js";
import { card } from "./results.js";

const at = (id) => document.getElementById(id);

/** The state of the check stands on the root element, for the style sheet and for tests. */
function setCheck(state, text) {
  document.documentElement.dataset.check = state;
  at("check").textContent = text;
}

function showFault(error) {
  at("fault").hidden = error === null;
  at("fault").textContent = error === null ? "" : error.message;
}

async function main() {
  const model = await openKit();
  document.title = model.name;
  at("name").textContent = model.name;
  at("about").textContent = `${model.variant} · ${model.tasks.length} ${model.tasks.length === 1 ? "task" : "tasks"} · runs in this page, nothing is sent anywhere`;
  const count = await model.selfCheck();
  setCheck("passed", `verified: ${count} golden vectors agree`);

  let latest = 0;
  const answer = async (samples) => {
    const turn = ++latest;
    try {
      const start = performance.now();
      const [answers] = await model.predict(samples);
      const took = performance.now() - start;
      if (turn !== latest) return; // another sample was given meanwhile
      at("results").replaceChildren(...Object.entries(answers).map(([task, found]) => card(task, found)));
      at("latency").textContent = `${took.toFixed(took < 10 ? 1 : 0)} ms`;
      showFault(null);
    } catch (error) {
      showFault(error);
    }
  };
  const input = inputsFor(model.inputs, answer, showFault);
  at("input").replaceChildren(input.element);
  const show = async (number) => {
    for (const [place, button] of [...at("samples").children].entries()) {
      button.setAttribute("aria-pressed", String(place === number));
    }
    await input.show(await model.goldenSample(number));
  };
  for (let number = 0; number < count; number++) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `sample ${number + 1}`;
    button.addEventListener("click", () => show(number).catch(showFault));
    at("samples").append(button);
  }
  await show(0);
}

main().catch((error) => {
  if (document.documentElement.dataset.check === "running") {
    at("name").textContent = "This model must not be used here";
    setCheck("failed", "check failed");
  }
  showFault(error);
});
