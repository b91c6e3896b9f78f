// A question with several right answers: the reader chooses some, in the list or at their marks in the picture, and then
// has them compared. All of it is in the scene: no kernel is asked.

import { element } from "./dom.js";
import { isLit, light, markLit } from "./links.js";

const VERDICTS = { hit: "✓ yes", missed: "✗ yes, missed", wrong: "✗ no", rest: "✓ no" };

/**
 * What became of each answer: "hit", "missed", "wrong", or "rest" where it was rightly left alone.
 * @param {boolean[]} right
 * @param {Set<number>} chosen
 * @returns {string[]}
 */
export function compared(right, chosen) {
  return right.map((is, k) => (chosen.has(k) ? (is ? "hit" : "wrong") : is ? "missed" : "rest"));
}

/**
 * @param {boolean[]} right
 * @param {Set<number>} chosen
 */
export function inSum(right, chosen) {
  const found = compared(right, chosen);
  const count = (kind) => found.filter((each) => each === kind).length;
  const good = count("hit") + count("rest");
  const parts = [`${good} of ${right.length} right`];
  if (count("missed")) parts.push(`${count("missed")} missed`);
  if (count("wrong")) parts.push(`${count("wrong")} chosen wrongly`);
  return parts.join(", ");
}

/** @param {Page} page */
export function guessView(page) {
  const list = element("div", { class: "wt-answers", role: "group" });
  const reveal = element("button", { type: "button", class: "wt-action wt-reveal" });
  const sum = element("p", { class: "wt-sum", "aria-live": "polite" });
  const node = element(
    "div",
    { class: "wt-scroll wt-guess" },
    element("div", { class: "wt-asked" }, reveal, sum),
    list,
  );
  let [panel, shown] = [null, ""];
  let [chosen, isRevealed] = [new Set(), false];
  const refs = () => panel?.refs ?? [];
  const isMarked = (k) => (isRevealed ? panel.right[k] : chosen.has(k));
  const draw = () => {
    const verdicts = compared(panel.right, chosen);
    [...list.children].forEach((answer, k) => {
      answer.ariaPressed = String(chosen.has(k));
      answer.ariaDisabled = isRevealed ? "true" : null; // the keyboard still comes to it, and reads the reason
      answer.dataset.found = isRevealed ? verdicts[k] : "";
      const words = isRevealed ? [VERDICTS[verdicts[k]], panel.because[k]] : ["", ""];
      answer.children[1].textContent = words.filter(Boolean).join(": ");
    });
    reveal.textContent = isRevealed ? "guess again" : "reveal";
    sum.textContent = isRevealed ? inSum(panel.right, chosen) : `${chosen.size} chosen`;
    markLit(page, new Set(refs().filter((_, k) => isMarked(k))));
  };
  const toggle = (k) => {
    if (isRevealed) return;
    if (!chosen.delete(k)) chosen.add(k);
    draw();
  };
  reveal.addEventListener("click", () => {
    isRevealed = !isRevealed;
    if (!isRevealed) chosen = new Set();
    draw();
  });
  list.addEventListener("focusin", ({ target }) => {
    for (const other of list.children) other.tabIndex = other === target ? 0 : -1; // one stop of the Tab key
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const all = [...list.children];
    const to = all[all.indexOf(document.activeElement) + step];
    if (!step || !to) return;
    to.focus();
    event.preventDefault();
    event.stopPropagation();
  });
  const answerNode = (answer, k) => {
    const press = () => toggle(k);
    const words = [element("span", {}, answer), " ", element("span", { class: "wt-because" })]; // read out as one
    const button = element(
      "button",
      { type: "button", class: "wt-answer", tabindex: k ? -1 : 0, onclick: press },
      ...words,
    );
    button.addEventListener("pointerenter", () => light(page, refs()[k] ?? ""));
    button.addEventListener("pointerleave", () => light(page, ""));
    return button;
  };
  const show = (next) => {
    const signature = JSON.stringify(next);
    if (signature === shown) return;
    [panel, shown, chosen, isRevealed] = [next, signature, new Set(), false];
    list.setAttribute("aria-label", next.question);
    list.replaceChildren(...next.answers.map(answerNode));
    draw();
  };
  const showLit = () => {
    const at = refs().indexOf(page.kept);
    if (page.kept && at >= 0) {
      page.kept = ""; // a click on a mark chooses it
      toggle(at);
    }
    [...list.children].forEach((answer, k) => answer.classList.toggle("wt-linked", isLit(page, refs()[k])));
  };
  const width = (room) => Math.min(WIDTH, Math.max(LEAST, Math.round(BESIDE * room)));
  const remove = () => markLit(page, new Set());
  return { node, show, width, light: showLit, remove };
}

// CSS pixels: room for the reasons, so that nothing moves when they come; where a picture is beside it, reasons may have
// a second line
const [WIDTH, LEAST, BESIDE] = [540, 360, 0.56];
