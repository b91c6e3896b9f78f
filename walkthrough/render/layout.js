// The panels of a scene on the page: their views, titles and captions, and the legend below them.

import { panelView } from "./canvas.js";
import { chartView } from "./charts.js";
import { element, put } from "./dom.js";
import { guessView } from "./guess.js";
import { hatchOf, stroke } from "./pen.js";
import { isWords, LEAST_CODE, NARROW, narrowRows, rowHeights, rowSizes, sharedHeights, WIDEST } from "./places.js";
import { codeView } from "./source.js";
import { heatView, tableView } from "./tables.js";

const VIEWS = {
  Panel: panelView,
  Chart: chartView,
  Table: tableView,
  HeatMap: heatView,
  Code: codeView,
  Guess: guessView,
};

/** Whether there was room to paint: a view that is not on the page yet has none, and is told when it has. */
export async function paint(page) {
  const width = roomOf(page);
  if (!(width > 0)) return false;
  [page.width, page.tries] = [width, 0];
  const { more, rows } = page.parts;
  more.show(page.scene);
  const sections = [{ name: "", node: rows, rows: page.scene.rows }, ...more.sections(page.scene)];
  const isOpen = (name) => sections.some((section) => section.name === name);
  for (const [name, panels] of page.panels) if (!isOpen(name)) removed(page, name, panels);
  // all words are written before the first is measured, and measured before the first is placed: the browser lays out once
  const written = sections.map((section) => writeSection(page, section, width));
  const measured = written.map((section) => measureSection(section, width));
  const drawn = measured.flatMap((section) => placeSection(page, section, width));
  showLegend(page, page.parts.legend, page.scene.legend);
  more.legends(page.scene, (node, legend) => showLegend(page, node, legend));
  showHint(page);
  keepHeights(page, sections, width);
  await Promise.all(drawn);
  return true;
}

function removed(page, name, panels) {
  for (const frame of panels.flat()) frame.view.remove?.();
  page.panels.delete(name);
}

/** The rows of the stage, or of what is unfolded below it: their views, and the words in them. */
function writeSection(page, { name, node, rows: given }, width) {
  const rows = narrowRows(given, width);
  const before = page.panels.get(name) ?? [];
  for (const frame of before.slice(rows.length).flat()) frame.view.remove?.();
  const panels = rows.map((row, index) => rowFor(page, node, row, before[index], index));
  page.panels.set(name, panels);
  while (node.children.length > rows.length) node.lastChild.remove();
  rows.forEach((row, r) => row.forEach((panel, c) => isWords(panel) && panels[r][c].view.show(panel)));
  return { name, node, rows, panels };
}

function measureSection(section, width) {
  const { rows, panels } = section;
  return { ...section, own: rows.map((row, r) => row.map((panel, c) => ownWidth(panel, panels[r][c], width))) };
}

/** What draws the panels of a section, each in its place: promises. */
function placeSection(page, { name, node, rows, panels, own }, width) {
  const isStage = !name && page.scene.more?.length && width >= NARROW; // where there is more, the rest is all seen
  const tallest = rowHeights(rows, own, width);
  const heights = isStage ? sharedHeights(rows, tallest, page.scene.hold) : tallest;
  if (!name) rows.forEach((row, r) => row.forEach((panel, c) => holdWords(panel, panels[r][c], heights[r])));
  const drawn = rows.flatMap((row, r) => placeRow(row, panels[r], own[r], heights[r], width));
  if (!name) keepFree(node, isStage ? page.scene.hold : 0, panels[0]);
  return drawn;
}

/** What rows would take as one row of that height stays free for them: what is below moves with no setting. */
function keepFree(node, hold, frames) {
  const [first, inside] = hold ? [frames[0].node, frames[0].view.frame ?? frames[0].view.node] : [];
  node.style.minHeight = hold ? `${Math.round(hold + first.offsetHeight - inside.offsetHeight)}px` : ""; // title and caption
}

export function roomOf(page) {
  if (!page.root.isConnected) return 0; // it has no style yet
  page.padding ??= parseFloat(getComputedStyle(page.root).paddingLeft);
  return Math.min(page.root.clientWidth - 2 * page.padding, WIDEST);
}

/** The views of a row; those whose kind stayed are used again. */
function rowFor(page, node, row, before = [], index) {
  const line = node.children[index] ?? node.appendChild(element("div", { class: "wt-row" }));
  const frames = row.map((panel, place) => {
    const old = before[place];
    if (old?.kind === panel.kind) return old;
    old?.view.remove?.();
    return frameFor(page, panel.kind);
  });
  before.slice(row.length).forEach((frame) => frame.view.remove?.());
  put(
    line,
    frames.map((frame) => frame.node),
  );
  const [isTitled, isCaptioned] = [row.some((panel) => panel.title), row.some((panel) => panel.caption || panel.late)];
  row.forEach((panel, place) => {
    const { title, caption } = frames[place];
    [title.hidden, caption.hidden] = [!isTitled, !isCaptioned];
    const isAwaited = panel.late && panel.marks?.length === 0 && title.textContent; // all stays as it was, only dimmed
    if (!isAwaited && title.textContent !== panel.title) title.textContent = title.title = panel.title;
    if (!isAwaited && caption.textContent !== panel.caption) caption.textContent = caption.title = panel.caption;
    caption.classList.toggle("wt-lines", panel.caption?.includes("\n"));
    frames[place].node.classList.toggle("wt-late", Boolean(panel.late));
    frames[place].node.ariaBusy = panel.late ? "true" : null;
  });
  return frames;
}

/** A view with room for a title above it and a caption below. */
function frameFor(page, kind) {
  const viewOf = page.model.painters?.[kind] ?? VIEWS[kind]; // a frozen explorer has charts of its own
  const [view, title, caption] = [viewOf(page), element("h4", {}), element("figcaption", {})];
  const node = element("figure", { class: `wt-panel wt-is-${kind}` }, title, view.frame ?? view.node, caption);
  return { kind, view, title, caption, node };
}

/** The width of panels that words make as wide as they are; null: as wide as there is room. */
function ownWidth(panel, frame, width) {
  if (panel.kind === "Code") return Math.min(LEAST_CODE, width);
  return isWords(panel) ? Math.min(frame.view.width(width), width) : null;
}

/** On the stage words beside a picture are as high as it: longer tables are scrolled, and move nothing below. */
function holdWords(panel, { view }, height) {
  if (isWords(panel)) view.node.style.maxHeight = height ? `${Math.round(height)}px` : "";
}

function placeRow(row, frames, own, height, width) {
  const known = frames.find((frame) => frame.room)?.room; // on a page of which width, and how much
  const sizes = rowSizes(row, own, height, width, known?.width === width ? known.free : width);
  return row.map((panel, c) => {
    const { view, node } = frames[c];
    const size = sizes[c];
    node.style.width = `${size.width}px`;
    if (isWords(panel)) return view.hold?.();
    // what stands beside may get wider from step to step: source lines then stay
    if (panel.kind === "Code") frames[c].room = { width, free: size.free };
    return view.show(panel, size.width, size.height);
  });
}

/** The marks of the stage below it, those of what is unfolded below that: a legend moves nothing that was above it. */
function showLegend(page, node, legend) {
  const signature = JSON.stringify([legend, page.themeName()]);
  if (signature === node.dataset.shown) return;
  node.dataset.shown = signature;
  node.hidden = !legend.length;
  node.replaceChildren(...legend.map((key) => element("li", {}, swatch(page, key), key.text)));
}

function swatch(page, key) {
  const canvas = element("canvas", { class: "wt-swatch", width: 40, height: 24, "aria-hidden": true });
  const ctx = canvas.getContext("2d");
  ctx.scale(2, 2);
  const paint = page.colour(key.colour);
  ctx.fillStyle = key.dash ? "#4A4A4A" : paint; // a line is shown on a dark ground, as it lies on a photograph
  ctx.fillRect(0, 0, 20, 12);
  if (key.dash) {
    ctx.beginPath();
    ctx.moveTo(2, 6);
    ctx.lineTo(18, 6);
    stroke(ctx, paint, 2, key.dash, false);
  } else if (key.hatch) {
    ctx.fillStyle = hatchOf(ctx, key.hatch);
    ctx.fillRect(0, 0, 20, 12);
  }
  return canvas;
}

/** What can be done to the picture itself has no control: the help of its field says it below. */
function showHint(page) {
  const parts = page.scene.rows.flat().flatMap((panel) => [panel, ...(panel.layers ?? [])]);
  const fields = new Set(parts.flatMap((part) => [part.pick, part.draw, part.drag]));
  const isTold = (control) => fields.has(control.name) && ["boxes", "point"].includes(control.kind) && control.help;
  const sentence = (help) => help.charAt(0).toUpperCase() + help.slice(1).replace(/\.?$/, ".");
  const sentences = page.model
    .get("controls")
    .filter(isTold)
    .map((control) => sentence(control.help));
  const text = [...new Set(sentences)].join(" ");
  if (page.parts.hint.textContent !== text) page.parts.hint.textContent = text;
  page.parts.hint.hidden = !text && !parseFloat(page.parts.hint.style.minHeight); // where it was, its room stays
}

/** The picture never gets lower while settings move, so that nothing below it jumps; another width starts afresh. */
function keepHeights(page, sections, width) {
  const parts = sections.flatMap(({ name, node, rows }) => {
    const own = [...(name ? [] : [page.parts.scene, page.parts.hint]), ...node.children];
    const kinds = rows.map((row) => row.map((panel) => panel.kind)).join(";");
    const shape = name ? `${width} ${kinds}` : String(width); // the stage stays as high as it was: its controls are below
    if (page.shapes.get(name) !== shape) for (const part of own) part.style.minHeight = "";
    page.shapes.set(name, shape);
    return own;
  });
  const heights = parts.map((part) => part.offsetHeight); // all are read before one is written: one layout is enough
  parts.forEach((part, index) => (part.style.minHeight = `${heights[index]}px`));
}
