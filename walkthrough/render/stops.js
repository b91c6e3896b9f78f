// A slider over values that were chosen beforehand: those of a frozen explorer.

import { element } from "./dom.js";

/** Which of a control's values one is: itself, the nearest number, or the one whose index a click gives; or -1. */
export function stopOf(control, value) {
  const same = JSON.stringify(value);
  const exact = control.values.findIndex((other) => JSON.stringify(other) === same);
  if (exact >= 0) return exact;
  if (Array.isArray(value) && value.length === 1) return control.indices.indexOf(value[0]);
  if (typeof value !== "number" || control.values.some((other) => typeof other !== "number")) return -1;
  const away = control.values.map((other) => Math.abs(other - value));
  return away.indexOf(Math.min(...away));
}

export function stopsView(page, control) {
  const id = `${page.id}-${control.name}`;
  const last = control.values.length - 1;
  const range = element("input", { type: "range", id, max: last, step: 1, "aria-description": control.help });
  const said = element("output", { for: id, class: "wt-readout" });
  const put = (place) => {
    const words = `${control.options[place]} ${control.unit}`.trim();
    said.textContent = words;
    range.style.setProperty("--share", place / Math.max(last, 1));
    range.setAttribute("aria-valuetext", words);
  };
  range.addEventListener("input", () => {
    put(range.valueAsNumber);
    page.change(control.name, control.values[range.valueAsNumber]);
  });
  const show = (next, value) => {
    const place = stopOf(next, value);
    if (place < 0) return; // of a story: the next step goes on from the one before
    range.value = place;
    put(place);
  };
  const label = element("label", { for: id, title: control.help || control.label }, control.label);
  const node = element("div", { class: "wt-control wt-slider", "data-name": control.name }, label, said, range);
  return { node, show };
}
