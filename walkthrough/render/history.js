// Undo, redo, and what takes away the reader's own pictures and boxes.

import { element } from "./dom.js";

/**
 * What a key asks for: "undo", "redo" or "".
 * @param {KeyboardEvent} event
 */
export function historyKey(event) {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return "";
  const key = event.key.toLowerCase();
  if (key === "z") return event.shiftKey ? "redo" : "undo";
  return key === "y" && !event.shiftKey ? "redo" : "";
}

const BUTTONS = [
  { method: "undo", word: "↶", label: "undo", title: "undo (Ctrl+Z)" },
  { method: "redo", word: "↷", label: "redo", title: "redo (Ctrl+Shift+Z)" },
  {
    method: "clear",
    word: "clear pictures",
    label: "",
    title: "back to the pictures and boxes of the beginning; settings stay, as pictures and boxes do with reset",
  },
];

/**
 * The buttons; one that has nothing to do is dimmed, and keeps its place and the focus.
 * @param {Page} page
 */
export function historyView(page) {
  const able = {};
  const buttons = BUTTONS.map(({ method, word, label, title }) => {
    const press = () => able[method] && page.act(method);
    return element("button", { type: "button", title, "aria-label": label, onclick: press }, word);
  });
  const show = (history) => {
    for (const [index, { method }] of BUTTONS.entries()) {
      able[method] = Boolean(history?.[method]);
      buttons[index].setAttribute("aria-disabled", String(!able[method]));
      buttons[index].hidden = history?.[method] === null;
    }
  };
  return { node: element("div", { class: "wt-history" }, ...buttons), show };
}
