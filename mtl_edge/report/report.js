"use strict";
{
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Light, dark, or as the system is.
  const root = document.documentElement;
  const theme = document.getElementById("theme");
  const order = ["auto", "light", "dark"];
  const show = (name) => {
    root.dataset.theme = name;
    theme.textContent = `theme: ${name}`;
  };
  let kept = null;
  try { kept = localStorage.getItem("mtl-edge-theme"); } catch { /* a page from a file may not remember */ }
  show(order.includes(kept) ? kept : "auto");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const next = order[(order.indexOf(root.dataset.theme) + 1) % order.length];
    show(next);
    try { localStorage.setItem("mtl-edge-theme", next); } catch { /* likewise */ }
  });

  // Tables are sorted by the buttons in their heads; what sums them up stays below.
  const key = (row, index) => {
    const cell = row.cells[index];
    const text = cell.dataset.sort ?? cell.textContent.trim();
    return /^[-+]?[\d.,]/.test(text) ? parseFloat(text.replaceAll(",", "")) : text;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number" || typeof b === "number") return typeof a === "number" ? -1 : 1;
    return a.localeCompare(b, undefined, { numeric: true });
  };
  for (const button of all("thead button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const table = button.closest("table");
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => (down ? -1 : 1) * compare(key(a, head.cellIndex), key(b, head.cellIndex)));
      table.tBodies[0].append(...rows);
    });
  }

  // What a mark of a picture stands for: under the pointer, or by the arrow keys in a picture that has the focus.
  const tip = document.getElementById("tip");
  const symbol = '[role="graphics-symbol"][aria-label]:not([aria-roledescription="axis"])';
  const marks = (chart) => all(symbol, chart);
  const hide = () => {
    tip.hidden = true;
    for (const mark of all(".at")) mark.classList.remove("at");
  };
  const point = (mark) => {
    hide();
    mark.classList.add("at");
    tip.textContent = mark.getAttribute("aria-label");
    tip.hidden = false;
    const at = mark.getBoundingClientRect();
    const own = tip.getBoundingClientRect();
    const left = Math.min(Math.max(at.left + at.width / 2 - own.width / 2, 8), innerWidth - own.width - 8);
    const above = at.top - own.height - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 8 ? above : at.bottom + 8}px`;
  };
  for (const chart of all(".chart")) {
    chart.addEventListener("pointerover", (event) => {
      const mark = event.target.closest(symbol);
      if (mark) point(mark);
    });
    chart.addEventListener("pointerleave", hide);
    chart.addEventListener("blur", hide);
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      const found = marks(chart);
      const now = found.findIndex((mark) => mark.classList.contains("at"));
      if (found.length) point(found[(now + step + found.length + (now < 0 && step < 0 ? 1 : 0)) % found.length]);
    });
  }
  addEventListener("scroll", () => {
    const mark = document.querySelector(".at");
    if (mark) point(mark);
  }, { passive: true });

  // Commands and the recipe can be copied, where the browser lets a page from a file do so.
  for (const block of all(".code")) {
    if (!navigator.clipboard) break;
    const button = Object.assign(document.createElement("button"), { className: "quiet", textContent: "copy" });
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(block.querySelector("code").textContent);
        button.textContent = "copied";
      } catch { button.textContent = "select it"; }
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
    block.append(button);
  }

  // On paper nothing can be opened.
  addEventListener("beforeprint", () => { for (const block of all("details")) block.open = true; });
}
