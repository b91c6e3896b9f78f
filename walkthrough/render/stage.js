// What stands around the picture: the place in the whole, the stories, the takeaway; below it what can be unfolded.
// One button each, all in one line, so that what is unfolded moves nothing that was above it.

import { element, put } from "./dom.js";
import { written } from "./words.js";

const CONTROLS_WITH_VALUES = ["slider", "number", "choice", "toggle"];

/** Title, stories and the strip of parts in a line; the takeaway; what a story says to look for. */
export function headView(page) {
  const title = element("h3", { class: "wt-title" });
  const stories = element("div", { class: "wt-stories", role: "toolbar", "aria-label": "stories" });
  oneStop(stories);
  const parts = element("ol", { class: "wt-parts", "aria-label": "where this stands in training" });
  const takeaway = element("p", { class: "wt-takeaway" });
  const look = element("p", { class: "wt-look" });
  const line = element("header", { class: "wt-header" }, title, stories, parts);
  let signature = "";
  const build = (stage) => {
    stories.replaceChildren(...(stage.stories ?? []).map((story) => chip(page, story)));
    for (const [index, button] of [...stories.children].entries()) button.tabIndex = index ? -1 : 0;
    parts.replaceChildren(...(stage.parts ?? []).map((name) => partNode(name, name === stage.part)));
  };
  const show = (name, stage, headline) => {
    title.textContent = name;
    const now = JSON.stringify([stage.stories, stage.parts, stage.part]);
    if (now !== signature) build(stage);
    signature = now;
    for (const button of stories.children) button.ariaPressed = String(button.textContent === stage.story);
    const shown = stage.stories?.find((story) => story.label === stage.story);
    look.textContent = shown ? `Look for: ${shown.look_for}` : "";
    look.hidden = !stage.stories?.length;
    [takeaway.textContent, takeaway.title, takeaway.hidden] = [headline, headline, !headline && !page.scene];
    [stories.hidden, parts.hidden] = [!stories.children.length, !parts.children.length];
  };
  return { node: element("div", { class: "wt-head" }, line, takeaway, look), title, takeaway, show };
}

function chip(page, story) {
  const press = () => page.story(story.label);
  return element("button", { type: "button", class: "wt-story", title: story.look_for, onclick: press }, story.label);
}

/** All buttons of a toolbar are one stop of the Tab key; arrows go from one to the next. */
function oneStop(node) {
  const buttons = () => [...node.children];
  node.addEventListener("focusin", ({ target }) => {
    for (const button of buttons()) button.tabIndex = button === target ? 0 : -1;
  });
  node.addEventListener("keydown", ({ key }) => {
    const [at, count] = [buttons().indexOf(document.activeElement), buttons().length];
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[key];
    if (at >= 0 && to !== undefined)
      buttons()
        .at(to % count)
        .focus();
  });
}

function partNode(name, isHere) {
  return element("li", { class: isHere ? "wt-here" : "", "aria-current": isHere && "step" }, name);
}

/** A button that unfolds a node. */
function foldButton(word, press) {
  const button = element("button", { type: "button", class: "wt-fold", "aria-expanded": "false" });
  button.addEventListener("click", press);
  const show = (isOpen, text = word) => {
    button.ariaExpanded = String(isOpen);
    if (button.textContent !== text) button.textContent = text;
  };
  show(false);
  return { node: button, show };
}

/** All other settings, folded; those that are not as at the beginning are named beside the button. */
export function settingsFold(page, controls) {
  const changed = element("span", { class: "wt-changed" });
  let isOpen = false;
  const fold = foldButton("settings", () => {
    isOpen = !isOpen;
    apply();
  });
  const apply = () => {
    fold.show(isOpen, fold.words);
    controls.node.hidden = !isOpen || !fold.count;
  };
  const show = (all, stage) => {
    const own = all.filter((control) => CONTROLS_WITH_VALUES.includes(control.kind) && !isPrimary(stage, control));
    fold.count = own.filter((control) => control.kind !== "choice" || control.options.length > 1).length;
    fold.words = `${fold.count} more setting${fold.count === 1 ? "" : "s"}`;
    fold.node.hidden = !fold.count;
    const others = own.filter(({ name }) => name in (stage.start ?? {}) && isChanged(page, stage, name));
    const text = others.map((control) => inWords(control.label, written(page.value(control.name)))).join(", ");
    if (changed.textContent !== text) [changed.textContent, changed.title] = [text, text];
    apply();
  };
  return { nodes: [fold.node, changed], show };
}

/** Whether a control stands right below the picture. Without a stage, all do. */
export function isPrimary(stage, control) {
  return !stage?.primary || stage.primary.includes(control.name);
}

/** "anchor_t 2"; "anchor 1", and not "anchor anchor 1". */
function inWords(label, value) {
  return value.startsWith(label) ? value : `${label} ${value}`;
}

function isChanged(page, stage, name) {
  return JSON.stringify(page.value(name)) !== JSON.stringify(stage.start[name]);
}

/** The titles of what a scene holds besides, each with its rows where it is open. */
export function moreView(page) {
  const [buttons, node] = [element("span", { class: "wt-folds" }), element("div", { class: "wt-more" })];
  const folds = new Map(); // title -> {button, rows}
  const opened = () => page.model.get("opened") ?? [];
  const press = (title) => {
    const isOpen = opened().includes(title);
    page.model.set("opened", isOpen ? opened().filter((other) => other !== title) : [...opened(), title]);
    page.model.save_changes();
    page.update();
  };
  const foldOf = (title) => {
    if (!folds.has(title)) {
      const rows = element("div", { class: "wt-rows" });
      const legend = element("ul", { class: "wt-legend", hidden: true });
      const part = element("div", { role: "region", "aria-label": title }, rows, legend);
      folds.set(title, { button: foldButton(title, () => press(title)), part, rows, legend });
    }
    return folds.get(title);
  };
  const show = (scene) => {
    const shown = (scene.more ?? []).map((more) => foldOf(more.title));
    put(
      buttons,
      shown.map((fold) => fold.button.node),
    );
    put(
      node,
      shown.map((fold) => fold.part),
    );
    for (const { title, rows } of scene.more ?? []) {
      const isOpen = opened().includes(title);
      foldOf(title).button.show(isOpen);
      foldOf(title).part.hidden = !isOpen || !rows;
    }
  };
  const sections = (scene) =>
    (scene.more ?? [])
      .filter(({ title, rows }) => rows && opened().includes(title))
      .map(({ title, rows }) => ({ name: title, node: foldOf(title).rows, rows }));
  const legends = (scene, showLegend) => {
    for (const { title, legend } of scene.more ?? []) showLegend(foldOf(title).legend, legend ?? []);
  };
  return { node, buttons, show, sections, legends };
}
