// A control that plays: the button beside it moves its value on at an even pace, by the control's own page.change, and
// waits for each answer: no messages queue up. It stops at the end, when the reader touches anything, and out of sight.

import { element } from "./dom.js";
import { stopOf } from "./stops.js";

const MOST_SHOWN = 60; // values of one way: of a longer one every second is shown, every third, and so on
const AGAIN = 30; // milliseconds after which an answer is looked for again
const KEY = "k";
const TITLES = {
  play: "play from here to the end; from the beginning where it stands at the end (key K)",
  pause: "pause (key K)",
  step: "one step on; nothing moves by itself, as this system asks for (key K)",
};

/**
 * The values that a control is played through.
 * @param {any} control
 * @returns {any[]}
 */
export function wayOf(control) {
  if (control.kind !== "slider") return control.values ?? control.options;
  const step = control.step || (control.high - control.low) / MOST_SHOWN;
  const count = Math.max(Math.floor((control.high - control.low) / step + 1e-9), 0);
  const stride = Math.max(Math.ceil(count / MOST_SHOWN), 1) * step;
  const inner = Array.from({ length: Math.ceil((count * step) / stride) }, (_, k) => control.low + k * stride);
  return [...inner, control.high].map((value) => Number(value.toPrecision(12)));
}

/**
 * The value after this one; undefined at the end.
 * @param {any} control
 * @param {any} value
 */
export function valueAfter(control, value) {
  const way = wayOf(control);
  if (control.kind === "slider") return way.find((other) => other > value + 1e-9);
  return way[(control.kind === "stops" ? stopOf(control, value) : way.indexOf(value)) + 1];
}

/**
 * The control's view with a button that plays it, where it is one that plays.
 * @param {Page} page
 * @param {any} control
 * @param {{ node: HTMLElement, show: (control: any, value: any) => void }} view
 */
export function playing(page, control, view) {
  if (!control.plays) return view;
  const player = playerFor(page, control);
  view.node.append(player.button);
  view.node.classList.add("wt-plays");
  const show = (next, value) => {
    player.take(next);
    view.show(next, value);
  };
  return { node: view.node, show };
}

function playerFor(page, control) {
  const { calm, players } = playersOf(page);
  const button = element("button", { type: "button", class: "wt-play", "aria-keyshortcuts": "K" });
  let now = control;
  let isOn = false;
  let timer = 0;
  const next = () => valueAfter(now, page.value(now.name));
  const label = () => {
    const word = calm.matches ? "step" : isOn ? "pause" : "play";
    if (button.dataset.does === word) return;
    [button.dataset.does, button.textContent, button.title] = [word, word, TITLES[word]];
    button.setAttribute("aria-label", `${word}: ${now.label}`);
  };
  const stop = () => {
    isOn = false;
    clearTimeout(timer);
    label();
  };
  const go = () => page.change(now.name, next() ?? wayOf(now)[0]);
  const tick = () => {
    if (page.removed || page.sentence || !button.isConnected) return stop(); // page.sentence: the kernel is silent
    if (page.isPending(now.name)) timer = setTimeout(tick, AGAIN);
    else if (next() === undefined) stop();
    else {
      go();
      timer = setTimeout(tick, 1000 * now.plays);
    }
  };
  const press = () => {
    if (isOn) return stop();
    if (calm.matches) return page.isPending(now.name) || go();
    isOn = true;
    label();
    go();
    timer = setTimeout(tick, 1000 * now.plays);
  };
  button.addEventListener("click", press);
  label();
  const take = (given) => {
    now = given;
    button.hidden = wayOf(given).length < 2;
  };
  const player = { button, press, stop, label, take };
  players.add(player);
  return player;
}

/** What the players of an explorer share: whether the reader wants no motion, and what makes them stop. */
function playersOf(page) {
  if (page.playing) return page.playing;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const players = new Set();
  const shown = () => {
    for (const player of players) if (!player.button.isConnected) players.delete(player); // of controls built anew
    return [...players];
  };
  const stopAll = () => shown().forEach((player) => player.stop());
  const touched = (event) => {
    if (event.type === "keydown" && isKey(event)) {
      const first = shown().find(({ button }) => !button.hidden && button.offsetParent);
      if (!first) return;
      event.preventDefault();
      event.stopPropagation();
      return first.press();
    }
    if (!event.target.closest(".wt-play")) stopAll();
  };
  const calmed = () => {
    stopAll();
    for (const player of shown()) player.label();
  };
  const hidden = () => document.hidden && stopAll();
  const eye = new IntersectionObserver((seen) => seen.at(-1).isIntersecting || stopAll());
  for (const kind of ["pointerdown", "keydown"]) page.root.addEventListener(kind, touched, true);
  calm.addEventListener("change", calmed);
  document.addEventListener("visibilitychange", hidden);
  eye.observe(page.root);
  page.whenRemoved.push(() => {
    stopAll();
    eye.disconnect();
    calm.removeEventListener("change", calmed);
    document.removeEventListener("visibilitychange", hidden);
  });
  page.playing = { calm, players };
  return page.playing;
}

function isKey(event) {
  const isFree = !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat;
  return isFree && event.key.toLowerCase() === KEY && !event.target.matches("select, textarea, input[type=text]");
}
