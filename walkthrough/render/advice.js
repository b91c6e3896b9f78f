// What would help here: a sentence above the picture, with buttons that do it.

import { element } from "./dom.js";

/** @param {Page} page */
export function adviceView(page) {
  const node = element("div", { class: "wt-advice", role: "note", hidden: true });
  let shown = "";
  const show = (advice) => {
    const now = JSON.stringify(advice ?? {});
    if (now === shown) return;
    shown = now;
    const offer = (name) =>
      element("button", { type: "button", onclick: () => page.act(`use ${name}`) }, `use ${name}`);
    node.replaceChildren(element("span", {}, advice?.text ?? ""), ...(advice?.offers ?? []).map(offer));
    node.hidden = !advice?.text;
  };
  return { node, show };
}
