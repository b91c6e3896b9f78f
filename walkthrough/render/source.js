// Lines of source as HTML: long ones go on below, a docstring is folded, variables are things to point at.

import { element } from "./dom.js";
import { isLit, keepLit, light } from "./links.js";
import { keepInView, onlyStop, pickable, scrolls } from "./tables.js";

const HANGING_INDENT = 4; // characters by which the rest of a long line is indented, as in render/code.py

/** The folded ranges without the one around the lit line. */
function foldsOf({ folded = [], lit }) {
  return folded.filter(([first, last]) => lit === null || lit < first || lit > last);
}

export function codeView(page) {
  const list = element("div", { class: "wt-lines", role: "list" });
  const node = element("div", { class: "wt-scroll wt-source" }, list);
  scrolls(node, () => "source");
  const lineNodes = new Map(); // line number -> its node
  let [shown, lines, hidden] = ["", "", ""];
  const build = (panel) => {
    const digits = String(panel.first + panel.lines.length).length;
    list.style.setProperty("--digits", `${digits}ch`);
    lineNodes.clear();
    panel.lines.forEach((text, index) => {
      lineNodes.set(panel.first + index, lineNode(page, panel, index, text));
    });
    list.replaceChildren(...lineNodes.values());
  };
  const fold = (panel) => {
    for (const old of list.querySelectorAll(".wt-folded")) old.remove();
    for (const row of lineNodes.values()) row.hidden = false;
    for (const range of foldsOf(panel)) {
      const inside = [...lineNodes].filter(([line]) => line >= range[0] && line <= range[1]).map(([, row]) => row);
      if (inside.length) inside[0].before(foldedNode(inside));
      for (const row of inside) row.hidden = true;
    }
  };
  const lightNames = () => {
    for (const name of list.querySelectorAll(".wt-name"))
      name.classList.toggle("wt-linked", isLit(page, name.dataset.ref));
  };
  const show = (panel, width, height) => {
    if (width) node.style.width = `${width}px`;
    if (height) node.style.height = `${height}px`;
    const source = JSON.stringify([panel.lines, panel.first, panel.pick, panel.names]);
    const folds = JSON.stringify([source, foldsOf(panel)]);
    const signature = JSON.stringify([folds, panel.lit, panel.marked, panel.failed]);
    if (signature === shown) return;
    if (source !== lines) build(panel);
    if (folds !== hidden) fold(panel);
    [lines, hidden, shown] = [source, folds, signature];
    for (const [line, row] of lineNodes) markLine(panel, line, row);
    const lit = lineNodes.get(panel.lit);
    if (lit) keepInView(node, lit);
    onlyStop(list.children, lit);
    lightNames();
  };
  return { node, show, light: lightNames };
}

function lineNode(page, panel, index, text) {
  const line = panel.first + index;
  const code = element("code", {}, ...wordsOf(page, panel, index, text));
  code.style.setProperty("--indent", `${text.length - text.trimStart().length + HANGING_INDENT}ch`);
  const place = element("span", { class: "wt-line-number" }, String(line));
  const mark = element("span", { class: "wt-mark", "aria-hidden": true });
  const row = element("div", { class: "wt-line", role: "listitem" }, mark, place, code);
  if (panel.pick) pickable(row, `line ${line}: ${text.trim()}`, () => page.change(panel.pick, [line]));
  return row;
}

/** The text of a line, its variables as nodes of their own. */
function wordsOf(page, panel, index, text) {
  const words = [];
  let at = 0;
  for (const { start, end, ref } of (panel.names ?? []).filter((name) => name.line === index)) {
    words.push(text.slice(at, start), nameNode(page, panel, text.slice(start, end), ref));
    at = end;
  }
  return [...words, text.slice(at) || (at ? "" : " ")];
}

/** A click chooses the variable; the line behind it has its own click. */
function nameNode(page, panel, word, ref) {
  const node = element("span", { class: "wt-name", "data-ref": ref }, word);
  node.addEventListener("pointerenter", () => light(page, ref));
  node.addEventListener("pointerleave", () => light(page, ""));
  node.addEventListener("click", (event) => {
    event.stopPropagation();
    keepLit(page, ref);
    const [field, row] = ref.split(" ");
    if (field === panel.choose) page.change(field, [Number(row)]);
  });
  return node;
}

/** What stands for folded lines, and shows them. */
function foldedNode(inside) {
  const words = `⋯ ${inside.length} line${inside.length === 1 ? "" : "s"} of the docstring`;
  const row = element("div", { class: "wt-line wt-folded", role: "listitem" }, element("code", {}, words));
  pickable(row, `show ${words.slice(2)}`, () => {
    for (const line of inside) line.hidden = false;
    row.remove();
    inside[0].focus({ preventScroll: true });
  });
  return row;
}

function markLine(panel, line, row) {
  const lit = line === panel.lit;
  row.classList.toggle("wt-lit", lit);
  row.classList.toggle("wt-failed", lit && panel.failed);
  row.classList.toggle("wt-stop", panel.marked.includes(line));
  const pointer = lit ? (panel.failed ? "✕" : "▸") : "";
  row.querySelector(".wt-mark").textContent = panel.marked.includes(line) ? "●" : pointer;
  if (lit) row.setAttribute("aria-current", "true");
  else row.removeAttribute("aria-current");
}
