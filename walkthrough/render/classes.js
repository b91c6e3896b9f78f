// The class of a box that is there already: a list at the chosen box, and a key.

import { setRow } from "./change.js";
import { element } from "./dom.js";
import { rectOf } from "./geometry.js";

const OF_A_NEW_BOX = "new_class"; // the choice that names the classes

/**
 * Of the chosen box, where its panel lets it have another class: its row, and what the classes are called.
 * @param {View} view
 */
function classified(view) {
  const { chosen, page, panel } = view;
  const row = chosen && chosen.field === panel.draw && page.value(chosen.field)?.[chosen.row];
  const words = page.model.get("controls").find((control) => control.name === OF_A_NEW_BOX)?.options ?? [];
  return row && row.length > 4 && words.length > 1 ? { row, words } : null;
}

/**
 * @param {View} view
 * @param {number} cls
 */
function setClass(view, cls) {
  const found = classified(view);
  if (!found || !view.chosen) return;
  setRow(view, view.chosen.field, view.chosen.row, [...found.row.slice(0, 4), cls, ...found.row.slice(5)]);
  view.page.say(`class ${found.words[cls]}`);
}

/**
 * The class after the present one, or before it; false where there is no box with a class.
 * @param {View} view
 * @param {number} step
 */
export function nextClass(view, step) {
  const found = classified(view);
  if (found) setClass(view, (found.row[4] + step + found.words.length) % found.words.length);
  return Boolean(found);
}

/**
 * The list at the chosen box; none where no box is chosen, or while it is dragged.
 * @param {View} view
 */
export function showClass(view) {
  const found = view.held ? null : classified(view);
  if (!found || !view.chosen) {
    view.classes?.remove();
    view.classes = null;
    return;
  }
  view.classes ??= classList(view);
  const list = view.classes;
  if (list.length !== found.words.length)
    list.replaceChildren(...found.words.map((word) => element("option", {}, word)));
  list.selectedIndex = found.row[4];
  const [x1, y1, x2, y2] = found.row;
  const [x, y, width] = rectOf(view, [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)]);
  const { node } = view;
  const left = Math.min(Math.max(x + width - list.offsetWidth, 0), node.clientWidth - list.offsetWidth);
  list.style.left = `${node.offsetLeft + left}px`;
  list.style.top = `${node.offsetTop + Math.max(y - list.offsetHeight - 4, 0)}px`;
}

/** @param {View} view */
function classList(view) {
  const list = element("select", { class: "wt-class", "aria-label": "class of the chosen box" });
  list.addEventListener("change", () => setClass(view, list.selectedIndex));
  list.addEventListener("blur", (event) => {
    if (event.relatedTarget === view.node || !view.classes) return;
    view.chosen = null;
    view.draw();
  });
  view.node.after(list);
  return list;
}
