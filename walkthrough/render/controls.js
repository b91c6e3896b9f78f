// Native HTML controls for the declared fields of an explorer's state. A control is {node, show(control, value)}; what the
// reader does goes to page.change(name, value); page.value(name) is the reader's newest value, or else the kernel's.

import { element } from "./dom.js";
import { playing } from "./play.js";
import { stopsView } from "./stops.js";
import { decimalComma } from "./typed.js";
import { uploadButton } from "./uploads.js";
import { written } from "./words.js";

const LOG_STEPS = 200;
const FEW_OPTIONS = 4;
const FEW_LETTERS = 23;
const MANY_BUTTONS = 6; // in a line beside large ones

/** All controls that are wanted, in groups; built again only where other fields are declared. */
export function controlsView(page, isWanted = (_control) => true) {
  const node = element("div", { class: "wt-controls" });
  let signature = "";
  let views = new Map();
  const build = (shown) => {
    const within = /** @type {HTMLElement | null} */ (document.activeElement?.closest("[data-name]"));
    const focused = within?.dataset.name;
    views = new Map(
      shown.map((control) => [control.name, playing(page, control, CONTROLS[control.kind](page, control))]),
    );
    const groups = new Map();
    for (const control of shown)
      groups.set(control.group, [...(groups.get(control.group) ?? []), views.get(control.name).node]);
    const together = (group, nodes) => {
      const grid = element("div", { class: "wt-grid" }, ...nodes);
      return group ? element("fieldset", { class: "wt-group" }, element("legend", {}, group), grid) : grid;
    };
    node.replaceChildren(...[...groups].map(([group, nodes]) => together(group, nodes)));
    if (focused) views.get(focused)?.node.querySelector("input, select")?.focus({ preventScroll: true });
  };
  const show = (controls) => {
    const isChoice = (control) => control.kind === "choice";
    const shown = controls.filter(
      (control) => control.kind in CONTROLS && !(isChoice(control) && control.options.length < 2) && isWanted(control),
    );
    const look = (control) => [
      control.name,
      control.kind,
      control.group,
      control.label,
      control.plays,
      isChoice(control) && few(control.options),
    ];
    const now = JSON.stringify(shown.map(look));
    if (now !== signature) build(shown);
    signature = now;
    node.hidden = !shown.length;
    for (const control of shown) views.get(control.name).show(control, page.value(control.name));
  };
  return { node, show };
}

function controlNode(tag, look, control, ...parts) {
  return element(tag, { class: `wt-control wt-${look}`, "data-name": control.name }, ...parts);
}

const CONTROLS = { slider: sliderView, number: numberView, choice: choiceView, toggle: toggleView, stops: stopsView };

function sliderView(page, control) {
  const id = `${page.id}-${control.name}`;
  let now = control;
  const told = [control.help, "a digit or Enter: type the number"].filter(Boolean).join("; ");
  const range = element("input", { type: "range", id, "aria-description": told });
  const field = typedField(page, () => now, `${control.label}, typed`);
  typedFrom(range, field.node);
  const isLog = () => now.log && now.low > 0;
  const toValue = (place) => {
    if (!isLog()) return Number(Number(place).toFixed(10));
    const value = now.low * (now.high / now.low) ** (place / LOG_STEPS);
    const rounded = Number.isInteger(now.step) && now.step ? Math.round(value) : Number(value.toPrecision(3));
    return Math.min(Math.max(rounded, now.low), now.high);
  };
  const toPlace = (value) => (isLog() ? (LOG_STEPS * Math.log(value / now.low)) / Math.log(now.high / now.low) : value);
  const fill = () => {
    const share = (range.value - range.min) / (range.max - range.min || 1);
    range.style.setProperty("--share", share);
  };
  const speak = (value) => range.setAttribute("aria-valuetext", `${written(value)} ${now.unit}`.trim());
  range.addEventListener("input", () => {
    const value = toValue(range.value);
    fill();
    field.put(value);
    speak(value);
    if (!now.heavy) page.change(control.name, value);
  });
  range.addEventListener("change", () => now.heavy && page.change(control.name, toValue(range.value)));
  const show = (next, value) => {
    now = next;
    const [min, max, step] = isLog() ? [0, LOG_STEPS, 1] : [next.low, next.high, next.step || "any"];
    Object.assign(range, { min, max, step });
    const dragged = document.activeElement === range && page.isPending(control.name);
    if (!dragged && !(next.heavy && range.matches(":active"))) range.value = toPlace(value);
    fill();
    field.put(value);
    speak(value);
  };
  const label = element("label", { for: id, title: control.help || control.label }, control.label);
  const unit = element("span", { class: "wt-unit" }, control.unit);
  const readout = element("span", { class: "wt-readout" }, field.node, unit);
  return { node: controlNode("div", "slider", control, label, readout, range), show };
}

/** A slider and its field are one stop of the Tab key: a digit or Enter goes into the field, Escape comes back. */
function typedFrom(range, field) {
  field.tabIndex = -1;
  range.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !/^([\d.,-]|Enter)$/.test(event.key)) return;
    if (event.key === "Enter") event.preventDefault();
    field.focus({ preventScroll: true });
    field.select(); // the digit takes the place of the number
  });
  field.addEventListener("keydown", (event) => event.key === "Escape" && range.focus({ preventScroll: true }));
}

/** A number field; what is being typed is not overwritten before it is committed with Enter or left. */
function typedField(page, control, name, id) {
  const node = element("input", {
    type: "number",
    id,
    "aria-label": name,
    step: "any",
    autocomplete: "off",
    lang: "en",
  });
  let typing = false;
  const put = (value) => {
    if (typing) return;
    const { log, step } = control();
    const width = log && value > 0 ? 10 ** (Math.floor(Math.log10(value)) - 1) : step || "any";
    if (node.step !== String(width)) node.step = width;
    if (node.value !== written(value)) node.value = written(value);
  };
  const setTyping = (is) => {
    typing = is;
    node.toggleAttribute("data-typing", is); // Ctrl+Z is then the browser's own
  };
  const restore = () => {
    setTyping(false);
    put(page.value(control().name));
  };
  const refuse = (sentence) => page.refuse(control().name, `${control().label}: ${sentence}`);
  const commit = () => {
    setTyping(false);
    if (node.validity.badInput) refuse("this is not a number");
    if (node.value === "" || !Number.isFinite(node.valueAsNumber)) restore();
    else page.change(control().name, node.valueAsNumber);
  };
  node.addEventListener("beforeinput", (event) => decimalComma(event, refuse));
  node.addEventListener("input", () => setTyping(true));
  node.addEventListener("change", commit);
  node.addEventListener("blur", restore);
  node.addEventListener("keydown", (event) => {
    const isRefused = node.ariaInvalid === "true";
    if (event.key === "Escape" && typing) restore();
    else if (event.key === "Escape" && isRefused) page.change(control().name, page.value(control().name));
    // the number that stood there before is typed again: no change, but an answer to a refusal
    if (event.key === "Enter") setTimeout(() => (typing || node.ariaInvalid === "true") && commit(), 0);
  });
  return { node, put };
}

function numberView(page, control) {
  const id = `${page.id}-${control.name}`;
  let now = control;
  const field = typedField(page, () => now, "", id);
  field.node.setAttribute("aria-description", control.help);
  const label = element("label", { for: id, title: control.help || control.label }, control.label);
  const show = (next, value) => {
    now = next;
    field.put(value);
  };
  return { node: controlNode("div", "number", control, label, field.node), show };
}

function few(options) {
  return options.length <= FEW_OPTIONS && options.join("").length <= FEW_LETTERS;
}

function choiceView(page, control) {
  return few(control.options) ? radioView(page, control) : selectView(page, control);
}

function selectView(page, control) {
  const id = `${page.id}-${control.name}`;
  const select = element("select", { id, "aria-description": control.help });
  select.addEventListener("change", () => page.change(control.name, select.value));
  let options = "";
  const show = (next, value) => {
    if (options !== JSON.stringify(next.options)) {
      options = JSON.stringify(next.options);
      select.replaceChildren(...next.options.map((word) => element("option", { value: word }, word)));
      for (const [index, word] of next.options.entries()) select.options[index].value = word; // "" as well
    }
    if (select.value !== value) select.value = value;
  };
  const label = element("label", { for: id, title: control.help || control.label }, control.label);
  return { node: controlNode("div", "select", control, label, select), show };
}

function radioView(page, control) {
  const group = element("div", { class: "wt-segments" });
  let options = "";
  const show = (next, value) => {
    if (options !== JSON.stringify(next.options)) {
      options = JSON.stringify(next.options);
      const radio = (word) => {
        const input = element("input", { type: "radio", name: `${page.id}-${control.name}` });
        input.addEventListener("change", () => page.change(control.name, word));
        input.value = word;
        return element("label", {}, input, element("span", {}, word));
      };
      group.replaceChildren(...next.options.map(radio));
    }
    for (const input of group.querySelectorAll("input")) input.checked = input.value === value;
  };
  const heading = element("legend", { title: control.help || control.label }, control.label);
  const node = controlNode("fieldset", "radio", control, heading, group);
  if (control.help) node.setAttribute("aria-description", control.help);
  return { node, show };
}

function toggleView(page, control) {
  const input = element("input", { type: "checkbox", role: "switch", "aria-description": control.help });
  input.addEventListener("change", () => page.change(control.name, input.checked));
  const show = (_, value) => (input.checked = Boolean(value));
  const label = element("label", { title: control.help || control.label }, input, element("span", {}, control.label));
  return { node: controlNode("div", "toggle", control, label), show };
}

/** The buttons: what the explorer offers, then reset, upload and, below the picture, the settings as code. */
export function buttonsView(page) {
  const [node, large] = [
    element("div", { class: "wt-buttons" }),
    element("div", { class: "wt-buttons", hidden: true }),
  ];
  let signature = "";
  const show = (actions, uploads, resets) => {
    const now = JSON.stringify([actions, uploads, resets]);
    if (now === signature) return;
    signature = now;
    const buttonOf = (action) => {
      const title = [action.help, action.key && `key ${keyName(action.key)}`].filter(Boolean).join(" - ");
      const keys = { "aria-keyshortcuts": keyName(action.key) };
      return button(action.label, title, () => page.act(action.method), {
        class: action.large ? "wt-action wt-large" : "wt-action",
        ...keys,
      });
    };
    const offered = actions.filter((action) => !action.large).map(buttonOf);
    const focused = [large, node].map((part) => [...part.children].indexOf(document.activeElement));
    large.replaceChildren(...actions.filter((action) => action.large).map(buttonOf));
    large.hidden = !large.children.length;
    const reset = button("reset", "back to the settings of the beginning", () => page.act("reset"));
    node.replaceChildren(...offered, ...(uploads ? [uploadButton(page)] : []), ...(resets ? [reset] : []));
    for (const [k, part] of [large, node].entries()) part.children[focused[k]]?.focus({ preventScroll: true }); // start is pause now
  };
  const isLong = () => large.children.length > 0 && node.children.length > MANY_BUTTONS;
  return { node, large, show, isLong };
}

function button(word, title, press, attributes = {}) {
  return element("button", { type: "button", title, onclick: press, ...attributes }, word);
}

function keyName(key) {
  return key === " " ? "Space" : key;
}

/** The settings as a line of Python, to be copied; where the clipboard is refused, selected in a field. */
export function codeLine(page) {
  const code = element("code", {});
  const copy = element("button", { type: "button", class: "wt-copy" }, "copy as code");
  const field = element("textarea", { readonly: true, hidden: true, "aria-label": "the settings as code" });
  let back = 0;
  const say = (word) => {
    copy.textContent = word;
    clearTimeout(back);
    back = setTimeout(() => (copy.textContent = "copy as code"), 1500);
  };
  copy.addEventListener("click", async () => {
    const text = page.model.get("cell"); // with imports, for a cell of its own
    try {
      await navigator.clipboard.writeText(text);
      say("copied");
      page.say("copied");
    } catch {
      field.value = text;
      field.rows = text.split("\n").length;
      field.hidden = false;
      code.hidden = true;
      field.focus({ preventScroll: true });
      field.select();
    }
  });
  field.addEventListener("blur", () => {
    field.hidden = true;
    code.hidden = false;
  });
  const show = (text) => {
    if (copy.title !== text) [copy.title, code.textContent] = [text, text.replaceAll("\n", "; ")];
  };
  return { node: element("div", { class: "wt-code-line" }, code, field, copy), show };
}
