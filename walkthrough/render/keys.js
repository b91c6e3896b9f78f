// What a reader does to the boxes and places of a panel with the keyboard, and what is said of it.

import { editableBoxes, fixedBoxes, isInteractive } from "./boxes.js";
import { announce, choosePlace, setRow } from "./change.js";
import { nextClass } from "./classes.js";
import { cancel } from "./edit.js";
import { grain, grown, shifted, within } from "./geometry.js";
import { written } from "./words.js";

export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @param {View} view
 * @param {KeyboardEvent} event
 */
export function keyed(view, event) {
  if (!view.panel || !isInteractive(view) || event.ctrlKey || event.metaKey) return;
  const step = { n: 1, N: -1, PageDown: 1, PageUp: -1 }[event.key];
  const does = step ? next(view, step) : event.key === "Escape" ? released(view) : edited(view, event);
  if (!does) return;
  event.preventDefault();
  event.stopPropagation();
}

/** @param {View} view */
function released(view) {
  if (view.held) {
    cancel(view);
    return true;
  }
  if (!view.chosen) return false;
  view.chosen = null;
  view.draw();
  return true;
}

/**
 * N goes from box to box, around and around: the Tab key has one stop for a picture, and leaves it.
 * @param {View} view
 * @param {number} step
 */
function next(view, step) {
  const boxes = editableBoxes(view);
  const now = boxes.findIndex((box) => box.field === view.chosen?.field && box.row === view.chosen?.row);
  if (!boxes.length) return false;
  const to = now < 0 && step < 0 ? -1 : now + step;
  view.chosen = boxes[(to + boxes.length) % boxes.length];
  view.draw();
  announce(view);
  return true;
}

/**
 * @param {View} view
 * @param {KeyboardEvent} event
 */
function edited(view, event) {
  const { chosen, page, panel } = view;
  if (panel.draw && (event.key === "Insert" || (event.key === "+" && !chosen))) return added(view);
  if (chosen?.field.startsWith("pick ") || (!chosen && !panel.pick && event.key in ARROWS)) {
    const fixed = fixedBoxes(view);
    if (fixed.length) return fixedChosen(view, event, fixed);
  }
  const row = chosen && page.value(chosen.field)?.[chosen.row];
  if (row) return boxEdited(view, event, row);
  if (!(event.key in ARROWS)) return false;
  if (panel.pick) return placeMoved(view, event);
  const [dx, dy] = ARROWS[event.key];
  return editableBoxes(view).length > 0 && next(view, dx + dy);
}

/**
 * Arrows go from box to box, with Shift ten at a time; Enter chooses one.
 * @param {View} view
 * @param {KeyboardEvent} event
 * @param {FoundBox[]} fixed
 */
function fixedChosen(view, event, fixed) {
  const now = fixed.findIndex((box) => box.field === view.chosen?.field && box.row === view.chosen?.row);
  if (event.key in ARROWS) {
    const [dx, dy] = ARROWS[event.key];
    const to = now + (dx + dy) * (event.shiftKey ? 10 : 1);
    view.chosen = fixed[now < 0 ? 0 : Math.min(Math.max(to, 0), fixed.length - 1)];
    view.draw();
    announce(view);
  } else if ((event.key === "Enter" || event.key === " ") && now >= 0) {
    view.page.change(fixed[now].pick, [fixed[now].row]);
  } else return false;
  return true;
}

/**
 * @param {View} view
 * @param {KeyboardEvent} event
 * @param {Row} row
 */
function boxEdited(view, event, row) {
  const { chosen, page } = view;
  const step = grain(view) * (event.shiftKey ? 10 : 1);
  if (event.key in ARROWS) {
    const [dx, dy] = ARROWS[event.key].map((part) => part * step);
    const changed = event.altKey ? grown(view, row, [0, 0, dx, dy]) : shifted(view, row, dx, dy);
    setRow(view, chosen.field, chosen.row, changed);
  } else if (event.key === "+" || event.key === "-") {
    const by = event.key === "+" ? step : -step;
    setRow(view, chosen.field, chosen.row, grown(view, row, [-by, -by, by, by]));
  } else if (["Delete", "Backspace"].includes(event.key) && view.panel.draw === chosen.field) {
    page.change(
      chosen.field,
      page.value(chosen.field).filter((_, index) => index !== chosen.row),
    );
    view.chosen = null;
    page.say("box removed");
    return true;
  } else if ((event.key === "Enter" || event.key === " ") && chosen.pick) {
    page.change(chosen.pick, [chosen.row]);
  } else if (event.key.toLowerCase() === "c" && !event.altKey) return nextClass(view, event.shiftKey ? -1 : 1);
  else return false;
  announce(view);
  return true;
}

/**
 * @param {View} view
 * @param {KeyboardEvent} event
 */
function placeMoved(view, event) {
  const { panel, page } = view;
  const [dx, dy] = ARROWS[event.key].map((part) => part * grain(view) * (event.shiftKey ? 10 : 1));
  const [x, y] = page.value(panel.pick) ?? [panel.left + panel.width / 2 - dx, panel.top + panel.height / 2 - dy];
  choosePlace(view, [x + dx, y + dy]);
  page.say(`at ${page.value(panel.pick).map(written).join(", ")}`);
  return true;
}

/** @param {View} view */
function added(view) {
  const { panel, page } = view;
  const rows = page.value(panel.draw) ?? [];
  const at = (share) => within(view, panel.left + share * panel.width, panel.top + share * panel.height);
  const corners = [...at(0.375), ...at(0.625)];
  view.chosen = { field: panel.draw, row: rows.length };
  setRow(view, panel.draw, rows.length, [...corners, ...panel.drawn]);
  announce(view);
  return true;
}
