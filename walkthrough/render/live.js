// An explorer on the page: its controls, its picture, its words; the only module that the widget's host sees.

import { adviceView } from "./advice.js";
import { buttonsView, codeLine, controlsView } from "./controls.js";
import { element } from "./dom.js";
import { historyKey, historyView } from "./history.js";
import { ARROWS } from "./keys.js";
import { paint, roomOf } from "./layout.js";
import { countView, createPage, GONE, gathered, isCut, receivePicture } from "./page.js";
import { showRefusals } from "./refusals.js";
import { headView, isPrimary, moreView, settingsFold } from "./stage.js";
import { initialize } from "./still.js";
import { statusView } from "./uploads.js";

function build(page, host) {
  const head = headView(page);
  const message = element("p", { class: "wt-message", role: "alert" });
  const takeaway = element("div", { class: "wt-hidden", "aria-live": "polite" });
  const words = element("div", { class: "wt-hidden" });
  const said = element("div", { class: "wt-hidden", "aria-live": "assertive" });
  const rows = element("div", { class: "wt-rows" });
  const legend = element("ul", { class: "wt-legend" });
  const hint = element("p", { class: "wt-hint" });
  const isMain = (control) => isPrimary(page.model.get("stage"), control);
  const [primary, controls] = [controlsView(page, isMain), controlsView(page, (control) => !isMain(control))];
  const [buttons, code] = [buttonsView(page), codeLine(page)];
  const [history, status, advice] = [historyView(page), statusView(), adviceView(page)];
  const [fold, more] = [settingsFold(page, controls), moreView(page)];
  const scene = element("div", { class: "wt-scene" }, advice.node, rows, legend, message, status.node);
  const main = element("div", { class: "wt-main" }, primary.node, buttons.large, buttons.node, history.node);
  const bar = element("div", { class: "wt-bar" }, ...fold.nodes, more.buttons, code.node);
  const parts = {
    head,
    message,
    takeaway,
    words,
    rows,
    legend,
    hint,
    primary,
    controls,
    buttons,
    history,
    advice,
    code,
    fold,
    more,
    scene,
  };
  const nodes = [head.node, scene, hint, main, bar, controls.node, more.node, takeaway, words, said];
  const root = element("section", { class: "wt", "data-drawn": "0", tabindex: -1 }, ...nodes);
  Object.assign(page, { host, root, parts, status, panels: new Map(), shapes: new Map() });
  Object.assign(page, { sentence: "", lit: "", kept: "" });
  page.frames = () => [...page.panels.values()].flat(2);
  page.say = (text) => (said.textContent = text);
  page.tell = (sentence) => {
    page.sentence = sentence;
    showMessage(page);
  };
  page.refuse = (name, sentence) => {
    page.refusals.set(name, sentence);
    showMessage(page);
  };
  const begins = (event) => !event.repeat && page.gesture++; // what follows is undone together
  for (const kind of ["pointerdown", "keydown"]) root.addEventListener(kind, begins, true);
  root.addEventListener("keydown", (event) => pressed(page, event));
  setTheme(page);
  host.append(root);
}

const TYPED_INTO = "input[type=number], input[type=text], select";
const UNDONE_BY_THE_BROWSER = "[data-typing], textarea";

/** Keys of the explorer's buttons, and none of the notebook's: D, D would delete the cell. */
function pressed(page, event) {
  const step = historyKey(event);
  if (step && page.model.get("history") && !event.target.matches(UNDONE_BY_THE_BROWSER)) {
    event.preventDefault();
    event.stopPropagation();
    page.act(step);
  }
  if (event.ctrlKey || event.metaKey || (event.shiftKey && event.key === "Enter")) return;
  event.stopPropagation();
  const { key, target } = event;
  const action = page.model.get("actions").find((other) => other.key.toLowerCase() === key.toLowerCase());
  const presses = target.matches("button, input, .wt-pickable") && [" ", "Enter"].includes(key);
  const steps = target.matches("input, .wt-pickable, .wt-story, .wt-scrolls") && key in ARROWS;
  if (!action || target.matches(TYPED_INTO) || event.altKey || presses || steps) return;
  event.preventDefault();
  page.act(action.method);
}

// -- what is shown ---------------------------------------------------------------------------------------------------

const FROM_KERNEL = [
  ...["scene", "values", "controls", "message", "refusals", "headline", "stage", "opened", "words"],
  ...["code", "title", "actions", "uploads", "history", "advice", "seen"],
];

/** Whether the kernel said something since the last time: what the page itself sets is not new. */
function hasNews(page) {
  const told = FROM_KERNEL.map((name) => page.model.get(name));
  const isNew = told.some((value, index) => value !== page.heard?.[index]);
  page.heard = told;
  return isNew;
}

async function update(page) {
  const { model, parts } = page;
  page.settle();
  const scene = model.get("scene");
  const ticket = (page.ticket = (page.ticket ?? 0) + 1);
  const [title, stage, headline] = [model.get("title"), model.get("stage") ?? {}, model.get("headline") ?? ""];
  parts.head.show(title, stage, headline);
  page.root.setAttribute("aria-label", title);
  for (const view of [parts.primary, parts.controls]) view.show(model.get("controls"));
  parts.fold.show(model.get("controls"), stage);
  parts.buttons.show(model.get("actions"), model.get("uploads"), model.get("controls").length > 0);
  if (parts.buttons.isLong()) parts.buttons.node.before(parts.history.node); // a line of large ones, a line of others
  parts.history.show(model.get("history"));
  parts.advice.show(model.get("advice"));
  parts.code.show(model.get("code"));
  parts.words.textContent = model.get("words");
  tellLater(page, headline || model.get("words"));
  await gathered(page, scene);
  if (page.removed || ticket < (page.painted ?? 0)) return; // a later one was faster
  page.painted = ticket;
  if (scene.rows.length) page.scene = scene;
  showMessage(page);
  if (page.scene && !(await paint(page))) return paintLater(page);
  requestAnimationFrame(() => (page.root.dataset.drawn = Number(page.root.dataset.drawn) + 1));
}

const TRIES = 10;

/** There is no room: a hidden view is told when it has some; for a moment there is none while a theme changes. */
function paintLater(page) {
  page.width = 0;
  page.tries = (page.tries ?? 0) + 1;
  if (page.tries <= TRIES) setTimeout(() => !page.removed && page.width === 0 && page.update(), 100);
}

function tellLater(page, words) {
  if (page.told === words) return;
  clearTimeout(page.telling);
  page.told = words;
  page.telling = setTimeout(() => (page.parts.takeaway.textContent = words), 700);
}

/** A sentence over the picture, which is dimmed where it is not what the settings ask for. */
function showMessage(page) {
  const { model, parts } = page;
  const rest = showRefusals(page);
  const text = page.sentence || [...rest, model.get("message")].filter(Boolean).join(" ");
  if (parts.message.textContent !== text) parts.message.textContent = text;
  const isWithout = Boolean(text) && !model.get("scene").rows.length;
  page.root.classList.toggle("wt-nothing", Boolean(page.sentence) || isWithout);
  page.root.classList.toggle("wt-empty", !page.scene);
}

// -- themes ----------------------------------------------------------------------------------------------------------

/** Of JupyterLab where it says so; elsewhere dark is what has a dark ground. In forced colours the system decides. */
function isDarkPage(host) {
  if (forcedColours().matches) return isDark(systemColour(host, "Canvas"));
  const told = document.body.dataset.jpThemeLight;
  if (told !== undefined) return told === "false";
  for (let node = host; node; node = node.parentElement) {
    const ground = getComputedStyle(node).backgroundColor;
    if (Number(ground.match(/[\d.]+/g)?.[3] ?? 1) > 0.5) return isDark(ground);
  }
  return false;
}

function forcedColours() {
  return matchMedia("(forced-colors: active)");
}

function isDark(colour) {
  const [red, green, blue] = (colour.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
  return 0.299 * red + 0.587 * green + 0.114 * blue < 128;
}

function systemColour(host, name) {
  const probe = element("span", { style: `background: ${name}; forced-color-adjust: none` });
  host.append(probe);
  const colour = getComputedStyle(probe).backgroundColor;
  probe.remove();
  return colour;
}

function setTheme(page) {
  const name = isDarkPage(page.host) ? "dark" : "light";
  if (page.root.dataset.theme === name) return false;
  page.root.dataset.theme = name;
  const { background, text, muted, rule, edge, series } = page.look.themes[name];
  const paints = { background, text, muted, rule, edge, accent: series[0], alarm: series[1] };
  for (const [part, paint] of Object.entries(paints)) page.root.style.setProperty(`--wt-${part}`, paint);
  return true;
}

export function render({ model, el }) {
  const page = createPage(model);
  el.classList.add("wt-host");
  build(page, el);
  const uncount = countView(page);
  const receive = (message, buffers) => {
    if (message.kind === "pictures") message.keys.forEach((key, index) => receivePicture(key, buffers[index]));
  };
  page.update = () => update(page);
  model.on("msg:custom", receive);
  const changed = () => hasNews(page) && page.update();
  model.on("change", changed);
  const cut = () => setTimeout(() => isCut(page) && page.tell(GONE), 0);
  model.on("comm_live_update", cut);
  const sizes = new ResizeObserver(() => {
    const isOther = setTheme(page); // what is around it may not have been there before
    if (page.scene && (isOther || Math.abs(roomOf(page) - (page.width ?? 0)) > 1)) page.update();
  });
  const themed = () => setTheme(page) && page.update();
  const themes = new MutationObserver(themed);
  const system = [matchMedia("(prefers-color-scheme: dark)"), forcedColours()];
  sizes.observe(page.root);
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
  themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });
  for (const media of system) media.addEventListener("change", themed);
  changed();
  return () => {
    page.removed = true;
    uncount();
    sizes.disconnect();
    themes.disconnect();
    for (const media of system) media.removeEventListener("change", themed);
    model.off("msg:custom", receive);
    model.off("change", changed);
    model.off("comm_live_update", cut);
    page.whenRemoved.forEach((tell) => tell());
    for (const frame of page.frames()) frame.view.remove?.();
    page.root.remove();
  };
}

export default { initialize, render };
