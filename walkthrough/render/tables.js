// Tables and heat maps as HTML.

import { chosenBy } from "./boxes.js";
import { readableOn } from "./colours.js";
import { element } from "./dom.js";
import { isLit, keepLit, light, refOf } from "./links.js";
import { ROOMY } from "./places.js";
import { finite, isNumber } from "./words.js";

/** Makes a row or a line a thing that is clicked, or reached by Tab and chosen by Enter; arrows go up and down. */
export function pickable(node, name, press) {
  node.classList.add("wt-pickable");
  node.tabIndex = 0;
  node.setAttribute("aria-label", name);
  node.addEventListener("click", press);
  node.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") press();
    else if (event.key === "ArrowDown") focusOn(besides(node, "nextElementSibling"));
    else if (event.key === "ArrowUp") focusOn(besides(node, "previousElementSibling"));
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

/** The next row or line on one side that is not folded. */
function besides(node, side) {
  let other = node[side];
  while (other?.hidden) other = other[side];
  return other;
}

/** Of rows or lines side by side only one is a stop of the Tab key: the one that was focused last. */
function focusOn(node) {
  if (!node?.classList.contains("wt-pickable")) return;
  for (const other of node.parentElement.children) other.tabIndex = other === node ? 0 : -1;
  node.focus();
}

/** Tab comes first to this row, unless the reader stands on another one. */
export function onlyStop(rows, first) {
  const among = [...rows].filter((row) => row.classList.contains("wt-pickable"));
  const stop = among.find((row) => row === document.activeElement) ?? among.find((row) => row === first) ?? among[0];
  for (const row of among) row.tabIndex = row === stop ? 0 : -1;
}

/** What is scrolled and holds nothing to stop at is a stop itself: arrows scroll it. */
export function scrolls(node, name) {
  const check = () => {
    const isLonger = node.scrollHeight > node.clientHeight + 1 || node.scrollWidth > node.clientWidth + 1;
    const isStop = isLonger && !node.querySelector("[tabindex='0']");
    node.classList.toggle("wt-scrolls", isStop);
    const looks = { tabindex: isStop && "0", role: isStop && "region", "aria-label": isStop && (name() || "table") };
    for (const [key, value] of Object.entries(looks)) {
      if (value) node.setAttribute(key, value);
      else node.removeAttribute(key);
    }
  };
  const sizes = new ResizeObserver(check);
  for (const part of [node, ...node.children]) sizes.observe(part);
}

export function tableView(page) {
  const head = element("thead", {});
  const body = element("tbody", {});
  const table = element("table", { class: "wt-table" }, head, body);
  const node = element("div", { class: "wt-scroll" }, table);
  let title = "";
  scrolls(node, () => title);
  let shown = "";
  let widest = 0;
  let wanted = null; // a row that is to be in view
  const show = (panel) => {
    const { columns, rows, marked, pick, refs } = panel;
    title = panel.title;
    const signature = JSON.stringify([columns, rows, marked, pick, refs, page.value(pick)]);
    if (signature === shown) return;
    shown = signature;
    const isRight = (_, column) => panel.rows.length > 0 && panel.rows.every((row) => isNumber(row[column]));
    const sides = panel.columns.map(isRight).map((right) => (right ? "wt-right" : ""));
    const looks = (word, column) => [sides[column], word.includes("  ") && "wt-columns"].filter(Boolean).join(" ");
    const cell = (tag) => (word, column) =>
      element(tag, { class: looks(word, column), scope: tag === "th" && "col" }, word);
    head.replaceChildren(element("tr", {}, ...panel.columns.map(cell("th"))));
    const focused = [...body.children].indexOf(document.activeElement);
    body.replaceChildren(...panel.rows.map((row, index) => tableRow(page, panel, index, row.map(cell("td")))));
    if (focused >= 0) body.children[Math.min(focused, body.children.length - 1)]?.focus({ preventScroll: true });
    const first = body.children[panel.marked[0]];
    onlyStop(body.children, first);
    wanted = focused < 0 ? first : null;
    lightRows();
  };
  const lightRows = () => {
    for (const row of body.children) row.classList.toggle("wt-linked", isLit(page, row.dataset.ref));
  };
  const width = (room) => {
    if (wanted) keepInView(node, wanted);
    wanted = null;
    node.classList.remove("wt-narrow");
    const now = Math.ceil(table.getBoundingClientRect().width);
    widest = Math.max(widest, now); // numbers that grow by a digit must not move what stands beside
    // on a narrow page words of wide columns go on in a second line
    node.classList.toggle("wt-narrow", widest > room && room < ROOMY);
    return widest;
  };
  const hold = () => (table.style.minWidth = node.classList.contains("wt-narrow") ? "" : `${widest}px`);
  return { node, show, width, hold, light: lightRows };
}

function tableRow(page, panel, index, cells) {
  const marked = panel.marked.includes(index);
  const chosen = panel.pick && page.value(panel.pick)?.[0] === chosenBy(panel, index);
  const looks = [marked && "wt-marked", chosen && "wt-chosen"].filter(Boolean);
  const row = element("tr", { class: looks.join(" ") }, ...cells);
  if (marked) row.setAttribute("aria-current", "true");
  const ref = refOf(panel, index);
  if (ref) {
    row.dataset.ref = ref;
    row.addEventListener("pointerenter", () => light(page, ref));
    row.addEventListener("pointerleave", () => light(page, ""));
    row.addEventListener("click", () => keepLit(page, ref));
  }
  const words = `row ${index + 1}: ${panel.rows[index].join(", ")}`;
  if (panel.pick) pickable(row, words, () => page.change(panel.pick, [chosenBy(panel, index)]));
  return row;
}

/** Scroll a box of our own, never the page. */
export function keepInView(scroller, node) {
  const [top, bottom] = [node.offsetTop - 40, node.offsetTop + node.offsetHeight + 40];
  if (top < scroller.scrollTop) scroller.scrollTop = Math.max(top, 0);
  else if (bottom > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = bottom - scroller.clientHeight;
}

const HEAT = { widest: 660, cell: 92, height: 36, word: 12, least: 7, letter: 0.62, scale: 60 }; // as in render/heat.py

export function heatView(page) {
  const [body, foot] = [element("tbody", {}), element("tfoot", {})];
  const table = element("table", { class: "wt-heat" }, body, foot);
  const scale = element("div", { class: "wt-scale", "aria-hidden": true });
  const node = element("div", { class: "wt-heat-frame" }, table, scale);
  let title = "";
  scrolls(node, () => title);
  let shown = "";
  let widest = 0;
  const width = () => (widest = Math.max(widest, table.offsetWidth + HEAT.scale));
  const show = (panel) => {
    const signature = JSON.stringify(panel);
    if (signature === shown) return;
    shown = signature;
    title = panel.title;
    const sizes = heatSizes(panel);
    table.style.cssText = `--side: ${sizes.side}px; --height: ${sizes.height}px; --size: ${sizes.size}px`;
    body.replaceChildren(...heatRows(page, panel, sizes));
    foot.replaceChildren(...heatNames(panel, sizes));
    scale.replaceChildren(...heatScale(page, panel, sizes));
  };
  return { node, show, width };
}

function heatSizes(panel) {
  const count = Math.max(panel.columns.length, panel.rows.length, 1);
  const side = Math.min(HEAT.cell, Math.max(HEAT.least, HEAT.widest / count));
  const height = Math.min(side, HEAT.height);
  const size = Math.min(HEAT.word, Math.max(height * 0.8, HEAT.least));
  const fits = (word) => word.length * size * HEAT.letter < side - 3;
  return { side, height, size, isWorded: panel.words.flat().every(fits), isUpright: !panel.columns.every(fits) };
}

function heatRows(page, panel, sizes) {
  const { shades } = page.look;
  const cell = (value, row, column) => {
    const share = Math.min(Math.max(finite(value) ?? 0, 0), 1);
    const paint = shades[Math.round(share * (shades.length - 1))];
    const word = panel.words[row][column];
    const title = `${panel.rows[row]}, ${panel.columns[column]}: ${word}`;
    const content = sizes.isWorded ? word : element("span", { class: "wt-hidden" }, word);
    return element("td", { title, style: `background: ${paint}; color: ${readableOn(paint)}` }, content);
  };
  const rows = panel.shades.map((values, row) => {
    const name = element("th", { scope: "row" }, panel.rows[row]);
    return element("tr", {}, name, ...values.map((value, column) => cell(value, row, column)));
  });
  const label = element("th", { class: "wt-axis", rowspan: rows.length }, element("span", {}, panel.row_label));
  if (panel.row_label && rows.length) rows[0].prepend(label);
  return rows;
}

function heatNames(panel, { isUpright }) {
  const lead = () => element("td", { colspan: panel.row_label ? 2 : 1 });
  const look = { scope: "col", class: isUpright && "wt-upright" };
  const names = panel.columns.map((name) => element("th", look, element("span", {}, name)));
  const label = element("th", { colspan: panel.columns.length || 1 }, panel.column_label);
  const rows = [element("tr", {}, lead(), ...names)];
  return panel.column_label ? [...rows, element("tr", {}, lead(), label)] : rows;
}

function heatScale(page, panel, { height }) {
  const length = Math.max(panel.rows.length * height, HEAT.scale);
  const ground = `linear-gradient(to top, ${page.look.shades.join(", ")})`;
  const ramp = element("div", { class: "wt-ramp", style: `height: ${length}px; background: ${ground}` });
  const words = [{}, { class: "wt-axis" }, {}].map((look, place) =>
    element("span", look, ["1", panel.scale_label, "0"][place]),
  );
  return [ramp, element("div", { class: "wt-ends" }, ...words)];
}
