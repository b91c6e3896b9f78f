// Why a value is refused: a sentence at the control that it was meant for.

import { element } from "./dom.js";

/**
 * Put each sentence at its control; those whose control is not to be seen are given back, for the message.
 * @param {Page} page
 * @returns {string[]}
 */
export function showRefusals(page) {
  const told = new Map([...Object.entries(page.model.get("refusals") ?? {}), ...page.refusals]);
  const rest = [];
  for (const note of page.root.querySelectorAll(".wt-refusal")) {
    const name = /** @type {HTMLElement} */ (note.parentElement).dataset.name ?? "";
    if (!told.has(name)) withdraw(note);
  }
  for (const [name, sentence] of told) {
    const control = page.root.querySelector(`[data-name="${CSS.escape(name)}"]`);
    if (control?.getClientRects().length) attach(page, control, name, sentence);
    else rest.push(sentence);
  }
  return rest;
}

/**
 * @param {Page} page
 * @param {Element} control
 * @param {string} name
 * @param {string} sentence
 */
function attach(page, control, name, sentence) {
  const id = `${page.id}-${name}-refusal`;
  let note = control.querySelector(".wt-refusal");
  if (!note) {
    note = element("p", { class: "wt-refusal", role: "alert", id });
    control.append(/** @type {Node} */ (note));
  }
  for (const input of control.querySelectorAll("input, select")) {
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-errormessage", id);
  }
  if (note && note.textContent !== sentence) note.textContent = sentence;
}

/** @param {Element} note */
function withdraw(note) {
  for (const input of note.parentElement?.querySelectorAll("input, select") ?? []) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-errormessage");
  }
  note.remove();
}
