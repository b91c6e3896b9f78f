// What mouse and keyboard have in common: they change a row of boxes or a place, and say so.

import { editableBoxes, fixedBoxes } from "./boxes.js";
import { sorted, within } from "./geometry.js";

/**
 * @param {View} view
 * @param {string} field
 * @param {number} index
 * @param {Row} row
 * @param {Row[]} [rows]
 */
export function setRow(view, field, index, row, rows = view.page.value(field) ?? []) {
  const changed = [...rows.slice(0, index), row, ...rows.slice(index + 1)];
  view.page.change(field, changed);
  view.draw();
}

/**
 * @param {View} view
 * @param {Point} at
 */
export function choosePlace(view, [x, y]) {
  view.page.change(view.panel.pick, within(view, x, y));
}

/**
 * What a box is called: by its label, what stands for its colour in the legend, or what the colour means.
 * @param {View} view
 * @param {NamedBox} box
 */
function nameOf({ page }, { label, colour }) {
  const paint = typeof colour === "string" ? colour.slice(0, colour.startsWith("#") ? 7 : undefined) : colour; // faint or not
  const keys = [page.scene, ...(page.scene?.more ?? [])].flatMap((part) => part?.legend ?? []);
  const key = keys.find((entry) => entry.colour === paint && !entry.hatch);
  return label || key?.text || (typeof colour === "string" && colour in page.look.meaning ? colour : "box");
}

/**
 * A box by its name, size and place: "prediction, 90 x 50 px at 40, 90".
 * @param {View} view
 * @param {NamedBox} box
 */
export function boxInWords(view, box) {
  if (box.name) return box.name;
  const [x1, y1, x2, y2] = sorted(box.xyxy).map(Math.round);
  return `${nameOf(view, box)}, ${x2 - x1} x ${y2 - y1} px at ${x1}, ${y1}`;
}

/**
 * The chosen box in words, for those who do not see it.
 * @param {View} view
 */
export function announce(view) {
  const boxes = view.chosen?.field.startsWith("pick ") ? fixedBoxes(view) : editableBoxes(view);
  const index = boxes.findIndex((box) => box.field === view.chosen?.field && box.row === view.chosen?.row);
  if (index < 0) return;
  view.page.say(`${boxInWords(view, boxes[index])}; ${index + 1} of ${boxes.length}`);
}
