// What mouse and keyboard have in common: they change a row of boxes or a place, and say so.

import { editableBoxes, fixedBoxes } from "./boxes.js";
import { within } from "./geometry.js";
import { written } from "./words.js";

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
 * The chosen box in words, for those who do not see it.
 * @param {View} view
 */
export function announce(view) {
  const boxes = view.chosen?.field.startsWith("pick ") ? fixedBoxes(view) : editableBoxes(view);
  const index = boxes.findIndex((box) => box.field === view.chosen?.field && box.row === view.chosen?.row);
  if (index < 0) return;
  const { label, xyxy } = boxes[index];
  const [x1, y1, x2, y2] = xyxy.map(written);
  view.page.say(`box ${index + 1} of ${boxes.length}${label && ` ${label}`}: ${x1}, ${y1} to ${x2}, ${y2}`);
}
