// Between the page and the kernel: what the reader changes, what the kernel has dealt with, images, silence (live.py).

import { colourOf } from "./colours.js";

const BUSY = 400; // milliseconds after which a reader is told that the kernel computes
const SILENCE = 5000; // milliseconds after which a reader is told that nothing comes back
const PICTURES_KEPT = 200;
const UNANSWERED = "The kernel does not answer: it is busy, or it has stopped. If it has stopped, run the cell again.";
export const GONE = "The kernel does not answer: run the cell again.";

// What all explorers of a page share: images by what they hold, and plotly.js.
export const shared = (globalThis[Symbol.for("walkthrough")] ??= { pictures: new Map(), plotly: null });

const UNSEEN = 1000; // milliseconds after which a view that is gone has not only been put elsewhere
const views = (globalThis[Symbol.for("walkthrough views")] ??= new WeakMap()); // model -> how many show it here

/**
 * Count a view of an explorer on this page; returns what takes it away. The kernel hears of the last one: whatever runs
 * there for those who look at it can then stop.
 * @param {any} page
 */
export function countView(page) {
  const { model } = page;
  const count = (by) => views.set(model, (views.get(model) ?? 0) + by);
  count(1);
  return () => {
    count(-1);
    setTimeout(() => views.get(model) === 0 && page.send({ kind: "unseen" }), UNSEEN);
  };
}

export function createPage(model) {
  const id = `wt${Math.random().toString(36).slice(2, 9)}`;
  const waiting = new Map(); // name -> {value, number}: what the kernel has not yet dealt with
  const page = { id, model, look: model.get("look"), removed: false, whenRemoved: [] };
  Object.assign(page, { number: 0, asked: 0, answered: 0 }); // of what the reader did: the last one, and so on
  Object.assign(page, { gesture: 0, refusals: new Map(), whenAnswered: null });
  let [timer, busy] = [0, 0];

  page.isPending = (name) => waiting.has(name);
  page.pending = (name) => waiting.get(name)?.value;
  page.value = (name) => (waiting.has(name) ? waiting.get(name).value : model.get("values")[name]);
  page.change = (name, value) => {
    waiting.set(name, { value, number: ++page.number });
    const values = Object.fromEntries([...waiting].map(([key, change]) => [key, change.value]));
    page.refusals.delete(name);
    expect();
    const gesture = `${page.gesture} ${name}`; // one drag or key, and what it changes, is undone as one
    model.set("moved", { page: id, number: page.number, gesture, values });
    model.save_changes();
  };
  page.send = (message, buffers = []) => {
    try {
      model.send(message, undefined, buffers);
    } catch {
      page.tell(GONE); // its channel is closed
    }
  };
  const ask = (message, buffers) => {
    page.number += 1;
    expect();
    page.send({ ...message, page: id, number: page.number }, buffers);
  };
  page.act = (method) => ask({ kind: "action", method });
  page.story = (label) => ask({ kind: "story", label });
  page.upload = (name, bytes) => ask({ kind: "picture", name }, [bytes]);

  const expect = () => {
    page.asked = page.number;
    for (const running of [timer, busy]) clearTimeout(running);
    busy = setTimeout(() => page.answered < page.asked && page.status.busy(true), BUSY);
    if (isCut(page)) page.tell(GONE);
    else timer = setTimeout(() => page.answered < page.asked && page.tell(isCut(page) ? GONE : UNANSWERED), SILENCE);
  };
  page.settle = () => {
    const seen = model.get("seen");
    if (seen?.page !== id) return;
    page.answered = Math.max(page.answered, seen.number);
    for (const [name, change] of waiting) if (change.number <= seen.number) waiting.delete(name);
    if (page.answered >= page.asked) {
      for (const running of [timer, busy]) clearTimeout(running);
      page.status.busy(false);
      page.whenAnswered?.();
      page.whenAnswered = null;
      page.tell("");
    }
  };

  page.isDark = () => page.themeName() === "dark";
  page.themeName = () => page.root.dataset.theme;
  page.theme = () => page.look.themes[page.themeName()];
  page.colour = (value) => colourOf(page.look, value);
  page.font = () => (page.fontFamily ||= getComputedStyle(page.root).fontFamily);
  return page;
}

/** Whether the kernel behind this page is known to be gone: the widget manager marks the views of lost kernels. */
export function isCut(page) {
  return Boolean(page.host.closest(".jupyter-widgets-disconnected"));
}

export function pictureOf(key) {
  return shared.pictures.get(key)?.bitmap;
}

function entryOf(key) {
  let entry = shared.pictures.get(key);
  if (!entry) {
    entry = { bitmap: null };
    entry.promise = new Promise((resolve) => (entry.resolve = resolve));
    shared.pictures.set(key, entry);
  }
  return entry;
}

export async function receivePicture(key, buffer) {
  const entry = entryOf(key);
  if (entry.bitmap || entry.isComing) return;
  entry.isComing = true;
  entry.bitmap = await createImageBitmap(new Blob([buffer]));
  entry.resolve();
  for (const [old, { bitmap }] of shared.pictures) {
    if (shared.pictures.size <= PICTURES_KEPT) break;
    if (bitmap) shared.pictures.delete(old); // asked for again where it is needed
  }
}

function picturesIn(scene) {
  const rows = [...scene.rows, ...(scene.more ?? []).flatMap((more) => more.rows ?? [])];
  const layers = rows.flat().flatMap((panel) => panel.layers ?? []);
  return layers.filter((layer) => layer.kind === "Picture").map((layer) => layer.pixels);
}

/** Until all images of a scene are there; what the kernel does not send in time is drawn when it comes. */
export async function gathered(page, scene) {
  const missing = picturesIn(scene).filter((key) => !pictureOf(key));
  if (!missing.length) return;
  const unknown = missing.filter((key) => !shared.pictures.get(key)?.isComing);
  if (unknown.length) page.send({ kind: "need", keys: [...new Set(unknown)] });
  const all = Promise.all(missing.map((key) => entryOf(key).promise));
  const patience = new Promise((resolve) => setTimeout(resolve, 1500, "late"));
  if ((await Promise.race([all, patience])) === "late") all.then(() => page.update());
}
